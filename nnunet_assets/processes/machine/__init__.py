"""What this machine has for a process, and who takes it: GPUs, memory, room on the disk."""
