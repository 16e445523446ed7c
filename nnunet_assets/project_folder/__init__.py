"""What of ours stands in a project's folder beside the declarations."""
