"""A fold from the parent's side: its inputs, its process, its end."""
