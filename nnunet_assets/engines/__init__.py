"""Where a fold's process runs: in this machine, or in a job of a cluster."""
