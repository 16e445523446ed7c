"""What runs in a worker of Ray on the node that the cluster chose: it starts the job's script, and ends with it.

Ray is sent the function itself, not its name, so that a node without this package can still say so. Therefore it knows
nothing of what stands outside it, and imports only what comes with Python, and Ray.
"""

from typing import Any


def run_job(folder: str, variables: dict[str, str], grace_seconds: float) -> dict[str, Any]:
    """Runs the script of a job to its end; whatever ends this call early ends the script's process first.

    Args:
        folder: The job's, on the file system that all nodes share.
        variables: Names of the variables that tell the job's process of its parent, the job, the node and the task.
        grace_seconds: How long the process may take to end after SIGTERM.

    Returns:
        `exit_code`, or `problem`, why nothing was started; and `node`.
    """
    import os
    import signal
    import socket
    import subprocess
    import time

    import ray

    context = ray.get_runtime_context()
    node = f"{socket.gethostname()} ({context.get_node_id()[:8]})"
    script = os.path.join(folder, "job.sh")  # noqa: PTH118
    # A file server may take a while to show what was just written.
    for _ in range(20):
        if os.path.exists(script):  # noqa: PTH110
            break
        time.sleep(0.5)
    else:
        return {"problem": f"{script} is not there on the node {node}", "node": node}
    told = {
        variables["parent"]: str(os.getpid()),
        variables["id"]: context.get_job_id(),
        variables["node"]: node,
        variables["task"]: context.get_task_id() or "",
    }
    # What interrupts the start itself would leave a process that nobody knows: it is heard after that.
    heard: list[int] = []
    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))  # one that stands in C cannot be put back
    }
    for number in handlers:
        signal.signal(number, lambda number, _: heard.append(number))
    job = None
    try:
        try:
            with open(os.path.join(folder, "job.log"), "ab") as log:  # noqa: PTH118, PTH123
                job = subprocess.Popen(
                    ["/bin/bash", script],
                    cwd=folder,
                    env={**os.environ, **told},  # noqa: TID251
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        for early in heard:
            signal.raise_signal(early)
        while job.poll() is None:
            time.sleep(0.3)
    finally:
        # Ray interrupts this where the task is cancelled, and where its driver is gone.
        if job and job.poll() is None:
            os.killpg(job.pid, signal.SIGTERM)
            until = time.monotonic() + grace_seconds
            while job.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
        if job and job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    return {"exit_code": job.returncode, "node": node}
