"""Files and folders as the rest relies on them: whole or absent, read within bounds, locked by the kernel."""
