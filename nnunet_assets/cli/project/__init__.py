"""Commands for a project, its servers and this machine."""
