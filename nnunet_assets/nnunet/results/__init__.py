"""What lies in results folders, ours and those of others."""
