"""Images that no dataset holds: found, looked at, and compared with those that a model was trained on."""
