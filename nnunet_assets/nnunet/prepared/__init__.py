"""A prepared dataset on disk: its raw record, plans, sets of preprocessed cases, and who may write them."""
