"""Ray as an engine: a task on the cluster for each job, and a process beside the supervisor that is its driver."""
