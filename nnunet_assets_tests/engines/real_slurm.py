"""A real Slurm of two nodes on this machine: a controller, two daemons with counted GPUs, and their authentication.

Debian's packages slurmctld, slurmd, slurm-client, munge and slurm-wlm-basic-plugins, without recommended ones. Up in a
second or two, without systemd, cgroups or a database. Processors are counted, not pinned.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "munged")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

CONFIGURATION = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
KillWait=10
MailProg=/bin/true
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=8000 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=8000 Gres=gpu:2
PartitionName=gpu Nodes=ALL Default=YES MaxTime=24:00:00 State=UP
"""
GPUS = """\
NodeName=n1 Name=gpu File=/dev/tty[0-1]
NodeName=n2 Name=gpu File=/dev/tty[2-3]
"""
"""Any device file will do: nothing is computed on it."""


def lack() -> str | None:
    """Says why there can be no Slurm here; None: there can."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing:
        return f"Slurm is not installed: {', '.join(missing)} missing"
    return None if Path("/dev/tty3").exists() else "no /dev/tty0 to tty3, which stand for GPUs"


@dataclass(frozen=True)
class RealSlurm:
    """A Slurm that runs.

    Attributes:
        folder: Where all of it lies.
    """

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """What finds it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _PATH}

    def call(self, *command: str) -> str:
        """Returns what a command prints."""
        environment = {**os.environ, **self.variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def jobs(self, *states: str) -> list[str]:
        """Returns the ids of the jobs in these states; of all that are not over, where none is named."""
        wanted = [f"--states={','.join(states)}"] if states else []
        return self.call("squeue", "--noheader", "--format=%i", *wanted).split()

    def resume(self, node: str) -> None:
        """Lets a node work again; one that does so by itself is left."""
        with suppress(subprocess.CalledProcessError):
            self.call("scontrol", "update", f"nodename={node}", "state=resume")

    def wait_until_idle(self, seconds: float = 30) -> None:
        """Waits until there is no job any more."""
        until = time.monotonic() + seconds
        while jobs := self.jobs():
            assert time.monotonic() < until, jobs
            time.sleep(0.2)


@contextmanager
def real_slurm() -> Iterator[RealSlurm]:
    """Yields a Slurm of its own; no process of it is left afterwards."""
    # A socket's path has a hundred letters at most.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as place:
        folder = Path(place)
        slurm = RealSlurm(folder)
        ports = [_free_port() for _ in range(3)]
        user, host = getpass.getuser(), socket.gethostname().partition(".")[0]
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, user=user, host=host, ports=ports))
        (folder / "gres.conf").write_text(GPUS)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        (folder / "state").mkdir()
        try:
            _start(slurm, "munged", "--force", *_munge_options(folder))
            _start(slurm, "slurmctld")
            for node in ("n1", "n2"):
                (folder / f"spool.{node}").mkdir()
                _start(slurm, "slurmd", "-N", node)
            until = time.monotonic() + 30
            while slurm.call("sinfo", "--noheader", "--format=%T").split() != ["idle"]:
                assert time.monotonic() < until, (folder / "slurmctld.log").read_text()
                time.sleep(0.2)
            yield slurm
        finally:
            _end(folder)


def _munge_options(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "munge.sock", "pid-file": "munged.pid", "log-file": "munged.log"}
    return [f"--{option}={folder / name}" for option, name in {**files, "seed-file": "munge.seed"}.items()]


def _start(slurm: RealSlurm, program: str, *arguments: str) -> None:
    found = shutil.which(program, path=_PATH)
    assert found
    environment = {**os.environ, **slurm.variables}
    subprocess.run([found, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=60)


def _end(folder: Path) -> None:
    """Ends what was started, jobs included, each by its id."""
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        slurm = RealSlurm(folder)
        if jobs := slurm.jobs():
            slurm.call("scancel", "--signal=KILL", "--full", *jobs)
            time.sleep(1)
            slurm.call("scancel", *jobs)
    for file in ("slurmd.n1.pid", "slurmd.n2.pid", "slurmctld.pid", "munged.pid"):
        with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            # Nothing of its state is needed any more, and an orderly end takes seconds.
            psutil.Process(int((folder / file).read_text())).kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
