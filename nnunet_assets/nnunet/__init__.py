"""The one place that touches nnunetv2. Its modules import nnunetv2 and torch inside functions or run as children."""
