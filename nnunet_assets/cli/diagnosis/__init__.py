"""What `doctor` looks at. Each check returns findings and changes nothing that a user would miss."""
