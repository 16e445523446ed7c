"""A model as one folder that can be handed on: written, read back without trust, and as a zip that nnU-Net installs."""
