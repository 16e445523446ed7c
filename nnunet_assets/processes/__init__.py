"""Child processes, whatever they run: how they start, end, fail and report, what they inherit and lock."""
