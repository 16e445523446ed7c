"""One image or label file, as nnU-Net's readers take it."""
