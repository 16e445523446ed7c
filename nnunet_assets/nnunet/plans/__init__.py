"""nnU-Net's plans: what they decide, and the code that they name."""
