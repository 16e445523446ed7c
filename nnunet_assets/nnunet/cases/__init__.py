"""One case of a dataset, or one new image: read as nnU-Net reads it, checked, drawn, and its facts kept."""
