"""nnU-Net's trainer as every process of ours makes it: found by its name, built, bound to one device, described."""
