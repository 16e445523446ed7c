"""Tables, figures and pages: values in; bytes, text or the files of an evaluation and an intake out."""
