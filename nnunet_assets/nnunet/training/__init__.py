"""What runs inside a fold's process: nnU-Net's trainer and what is bound to it."""
