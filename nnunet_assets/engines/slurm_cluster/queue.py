"""Slurm as a queue of jobs, by `sbatch`, `squeue`, `scontrol`, `scancel` and, where there is one, `sacct`.

Every call is a command with a list of arguments and a limit of its time. A controller that does not answer is told from
one that answers with a refusal: only the latter says anything of a job.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.engines.job_files import SCRIPT_FILE
from nnunet_assets.engines.job_queue import JobLook, JobOrder, QueueRefusedError, QueueSilentError
from nnunet_assets.engines.job_script import job_script
from nnunet_assets.engines.slurm_cluster.arguments import sbatch_arguments
from nnunet_assets.engines.slurm_cluster.texts import (
    HELD,
    LOOK_FORMAT,
    SACCT_FIELDS,
    UNKNOWN_JOB,
    gone,
    look_of,
    place_of,
    shown_by_sacct,
    shown_by_scontrol,
)
from nnunet_assets.errors import ConfigError

COMMAND_SECONDS = 60.0

_SILENT = re.compile(
    "Unable to contact|Socket timed out|Connection (refused|reset|timed out)|temporarily (unable|unavailable)"
    "|Zero Bytes were transmitted|Protocol authentication error|Munge|Transport endpoint"
    "|Communication connection failure|slurm_persist|Slurm backup controller in standby",
    re.IGNORECASE,
)
"""What the commands say where the controller is down, slow or starting, so that the call may be made again."""


class SlurmQueue:
    """Slurm's queue, as the commands on this machine reach it.

    Args:
        variables: The environment; of Slurm's own variables the commands get the place of its configuration alone, not
            those of a job in which this process may run.
    """

    name, title, cancel_command = "slurm", "Slurm", "scancel"

    def __init__(self, variables: Mapping[str, str]) -> None:
        kept = {name: value for name, value in variables.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        conf = variables.get("SLURM_CONF")
        self._variables = {**kept, **({"SLURM_CONF": conf} if conf else {}), "LC_ALL": "C"}

    def submit(self, order: JobOrder) -> str:
        """As `JobQueue.submit`."""
        write_atomically(order.folder / SCRIPT_FILE, job_script(order).encode())
        code, printed, said = self._run("sbatch", *sbatch_arguments(order))
        job_id = printed.strip().partition(";")[0]
        if code == 0 and job_id.isdecimal():
            return job_id
        # An answer that was lost on its way may be that of a job that was taken.
        if found := self.find(order.name):
            return found
        _refuse_silence("sbatch", said)
        raise QueueRefusedError(_without_prefix(said) or f"sbatch ended with exit code {code} and printed {printed!r}.")

    def release(self, job_id: str) -> None:
        """As `JobQueue.release`."""
        code, _, said = self._run("scontrol", "release", job_id)
        # It also complains of one that it lets go, and that cannot start as things are.
        if code and self.look(job_id).reason == HELD:
            raise QueueSilentError(f"scontrol release {job_id}: {_without_prefix(said)}")

    def find(self, name: str) -> str | None:
        """As `JobQueue.find`."""
        return max(self._named(name, "all"), key=_number, default=None)

    def cancel_others(self, name: str, job_id: str) -> None:
        """As `JobQueue.cancel_others`."""
        for other in self._named(name, "PENDING"):
            if other != job_id:
                self.cancel(other)

    def look(self, job_id: str) -> JobLook:
        """As `JobQueue.look`."""
        arguments = ("--noheader", "--states=all", f"--jobs={job_id}", f"--format={LOOK_FORMAT}")
        code, printed, said = self._run("squeue", *arguments)
        if code and UNKNOWN_JOB not in said:
            raise QueueSilentError(f"squeue: {_without_prefix(said)}")
        # A job that is gone may be nothing printed: that is no answer yet.
        found = look_of(printed) if not code else None
        if found is None or found[0].is_over:
            return self._ended(job_id)
        seen, partition = found
        return replace(seen, place=self._place(job_id, partition)) if seen.state == "PENDING" else seen

    def cancel(self, job_id: str) -> None:
        """As `JobQueue.cancel`."""
        code, _, said = self._run(self.cancel_command, job_id)
        if code and UNKNOWN_JOB not in said:
            raise QueueSilentError(f"scancel {job_id}: {_without_prefix(said)}")

    def forget(self, name: str) -> None:
        """As `JobQueue.forget`: nothing is kept."""

    def _named(self, name: str, states: str) -> list[str]:
        """Returns the ids of the jobs of a name in these states."""
        code, printed, said = self._run("squeue", "--noheader", f"--states={states}", f"--name={name}", "--format=%i")
        if code:
            raise QueueSilentError(f"squeue: {_without_prefix(said)}")
        return printed.split()

    def _ended(self, job_id: str) -> JobLook:
        """Returns how a job ended; the controller knows it for some minutes, the database of accounts for long."""
        code, printed, said = self._run("scontrol", "--oneliner", "show", "job", job_id)
        if code and UNKNOWN_JOB not in said:
            raise QueueSilentError(f"scontrol: {_without_prefix(said)}")
        if found := shown_by_scontrol(printed):
            return found
        arguments = ("--noheader", "--parsable2", "--allocations", f"--jobs={job_id}", f"--format={SACCT_FIELDS}")
        try:
            code, printed, _ = self._run("sacct", *arguments)
        except ConfigError:  # not installed, as on some login nodes
            return gone()
        return (shown_by_sacct(printed) if not code else None) or gone()

    def _place(self, job_id: str, partition: str) -> tuple[int, int] | None:
        arguments = ("--noheader", "--states=PENDING", f"--partition={partition}", "--sort=-p,i", "--format=%i")
        code, printed, _ = self._run("squeue", *arguments)
        return None if code else place_of(job_id, printed)

    def _run(self, *command: str) -> tuple[int, str, str]:
        """Returns exit code, output and errors of a command.

        Raises:
            QueueSilentError: It takes too long.
            ConfigError: It is not there.
        """
        try:
            done = subprocess.run(
                command,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_SECONDS,
                check=False,
                # A Ctrl-C in the terminal is for who supervises the fold: an answer that it cuts off is lost.
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise QueueSilentError(f"{command[0]} did not end within {COMMAND_SECONDS:.0f} s.") from error
        except OSError as error:
            raise ConfigError(
                f"{command[0]} cannot be run: {error.strerror}. Jobs are submitted from a machine that has Slurm's "
                "commands in its PATH, such as a login node; or declare `kind: local`."
            ) from error
        return done.returncode, done.stdout, done.stderr


def _refuse_silence(command: str, said: str) -> None:
    if _SILENT.search(said):
        raise QueueSilentError(f"{command}: {_without_prefix(said)}")


def _without_prefix(said: str) -> str:
    """Returns what a command said, in one line: `sbatch: error: invalid partition specified: nope`."""
    lines = [re.sub(r"^\w+: (error: )?", "", line.strip()) for line in said.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))


def _number(job_id: str) -> int:
    return int(re.match(r"\d+", job_id)[0]) if job_id[:1].isdecimal() else 0  # type: ignore[index]
