"""What Slurm's commands print, read: `squeue`, `scontrol show job` and `sacct`.

Slurm 22.05 printed what the tests have of the first two. `sacct` needs a database, so that it was not run: its texts
are those of Slurm's documentation.
"""

import re

from nnunet_assets.engines.job_queue import GONE, JobLook

LOOK_FORMAT = "%T|%r|%S|%N|%P"
"""For `squeue`: state, reason, start, node, partition."""

UNKNOWN_JOB = "Invalid job id specified"
"""What `squeue` and `scontrol` say of a job that they do not know, or not any more."""

HELD = "JobHeldUser"
"""Why a job waits that was submitted with `--hold`, and not let go."""

_NOTHING = {"", "None", "N/A", "(null)", "Unknown", "NONE"}

SACCT_FIELDS = "State,ExitCode,NodeList"


def look_of(printed: str) -> tuple[JobLook, str] | None:
    """Returns how a job is by `squeue` in `LOOK_FORMAT`, and its partition; None: it prints no such job."""
    # Several lines: of a job that was put back, the newest one last.
    lines = [line.split("|") for line in printed.splitlines() if line.count("|") == LOOK_FORMAT.count("|")]
    if not lines:
        return None
    state, reason, start, node, partition = map(str.strip, lines[-1])
    return JobLook(state, _known(reason), _known(node), _known(start)), partition


def place_of(job_id: str, printed: str) -> tuple[int, int] | None:
    """Returns a job's place among those that wait, and how many do, by `squeue` that prints their ids in order."""
    ids = printed.split()
    return (ids.index(job_id) + 1, len(ids)) if job_id in ids else None


def shown_by_scontrol(printed: str) -> JobLook | None:
    """Returns how a job is by `scontrol --oneliner show job`; None: it shows none."""
    fields = dict(re.findall(r"(\w+)=(\S*)", printed))
    if "JobState" not in fields:
        return None
    return JobLook(
        fields["JobState"],
        _known(fields.get("Reason", "")),
        _known(fields.get("BatchHost", "")),
        exit_code=_exit_code(fields.get("ExitCode", "")),
    )


def shown_by_sacct(printed: str) -> JobLook | None:
    """Returns how a job was by `sacct --parsable2` with `SACCT_FIELDS`; None: it knows none."""
    for line in filter(None, map(str.strip, printed.splitlines())):
        state, exit_code, node = line.split("|")
        # `CANCELLED by 1000`
        return JobLook(state.partition(" ")[0].rstrip("+"), None, _known(node), exit_code=_exit_code(exit_code))
    return None


def gone() -> JobLook:
    """Returns how a job is that nobody knows."""
    return JobLook(GONE)


def _known(text: str) -> str | None:
    return None if text in _NOTHING else text


def _exit_code(text: str) -> int | None:
    """Returns a script's exit code, negative where a signal ended it: `64:0`, `0:15`."""
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if not found:
        return None
    code, number = int(found[1]), int(found[2])
    return -number if number and not code else code
