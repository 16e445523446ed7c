"""What the exit code of a command says; those of a fold's own process are others (`processes.exit_codes`)."""

DONE, ERROR, INCOMPLETE = 0, 1, 2
INTERRUPTED = 130
"""As a shell has it of what Ctrl-C ended."""
