"""Datasets from elsewhere on their way into nnUNet_raw, and a generated one."""
