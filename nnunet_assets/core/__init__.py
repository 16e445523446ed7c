"""Values and rules by subject, and the files that hold them; nothing of Dagster, nnU-Net, torch or MLflow.

What touches the disk says so: all of `files`, what a fold's folder holds (`fold`, `validation`), modules named
`*_files` or after their file (`dataset_json`), and what looks at files that a user declared (`case_groups`,
`file_pattern`). Everything else is values in, values out.
"""
