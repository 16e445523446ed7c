"""What predicts new images: members, what is done to their masks, and how a model describes itself."""
