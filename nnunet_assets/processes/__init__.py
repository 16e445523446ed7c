"""Child processes, whatever they run: how they start, end, fail, and share devices, memory and locks."""
