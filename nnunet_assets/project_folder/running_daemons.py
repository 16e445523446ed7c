"""Who works as the daemon of a project's instance, and why nobody else may beside it.

Three witnesses: the lock that the servers of `dev` and `up` hold; the processes of this machine, where somebody runs
plain `dagster dev` or `dagster-daemon` on the instance; and the signs of life that Dagster writes into it, for those on
another machine or in another container.
"""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import psutil
from dotenv import dotenv_values

from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.project_folder.daemon_lock import UNKNOWN, DaemonOwner, last_owner, lock_owner
from nnunet_assets.project_folder.instance_state import last_sign_of_daemon

SIGN_SECONDS = 30
"""How often Dagster's daemon writes that it lives."""

OLD_SECONDS = 24 * 3600
"""No two clocks of one project differ by that: a daemon elsewhere, whose last sign is older, is gone."""

_PROGRAMS = {"dagster": "dev", "dg": "dev", "dagster-daemon": "run", "dagster._daemon": "run"}
"""Programs and modules to the word that makes them a daemon."""


class SecondDaemonError(NnunetAssetsError):
    """A daemon works on the instance already."""


@dataclass(frozen=True)
class RunningDaemon:
    """A daemon that works on a project's instance.

    Attributes:
        who: It in words, to begin a sentence with.
        page: Its web UI; empty: nobody knows.
        remedy: How to end it: a whole sentence.
    """

    who: str
    page: str
    remedy: str


def find_daemon(project: Path) -> RunningDaemon | None:
    """Returns the daemon that works on the project's instance, as far as can be told at once; None: there is none."""
    return next(find_daemons(project), None)


def find_daemons(project: Path) -> Iterator[RunningDaemon]:
    """Yields the daemons that work on the instance, the one that holds the lock first; more than one is too many."""
    home = project / ".dagster"
    owner = lock_owner(home)
    if owner is not None:
        yield _of_ours(owner, project)
    family = {owner.process} if owner and owner.host == host_name() else set()
    for process in _daemons_of_users(home):
        with suppress(psutil.Error):
            parents = {process.pid, *(parent.pid for parent in process.parents())}
            if not parents & family:
                family.add(process.pid)
                yield _of_users(process)


def second_daemons(project: Path) -> list[str]:
    """Returns a sentence for each daemon that works on the instance beside the first, and how to end it."""
    found = list(find_daemons(project))
    return [f"{one.who} is a second daemon: each run is started twice. {one.remedy}" for one in found[1:]]


def gives_signs(project: Path) -> bool:
    """Tells whether a daemon works on the instance; for a minute also of one that was killed elsewhere."""
    if find_daemon(project):
        return True
    last = last_sign_of_daemon(project)
    return last is not None and abs(time.time() - last) <= 2 * SIGN_SECONDS


def refuse_second_daemon(project: Path, progress: Progress) -> None:
    """Refuses to go on where a daemon works on the project's instance.

    The last sign of a daemon stays in the instance when it is killed. Where it is young, and no process of this machine
    explains it, the next one is waited for: it comes within half a minute, or not at all.

    Args:
        project: A project whose instance has settings.
        progress: Is told of such a wait.

    Raises:
        SecondDaemonError: One does; the message names it, and how to end it.
    """
    found = find_daemon(project) or _elsewhere(project, progress)
    if found is not None:
        page = f" Its web UI is at {found.page}." if found.page else ""
        raise SecondDaemonError(
            f"{found.who} is the Dagster daemon of {project} already, and two of them would start each run twice."
            f"{page} {found.remedy}"
        )


def _of_ours(owner: DaemonOwner, project: Path) -> RunningDaemon:
    if owner == UNKNOWN:
        return RunningDaemon(
            "A process that nobody wrote down",
            "",
            f"It holds {project / '.dagster' / 'daemon.lock'}; `lsof` or `fuser -v` on that file names it.",
        )
    is_here = owner.host == host_name()
    place = "" if is_here else f" on {owner.host}"
    who = f"Process {owner.process}{place} (`{owner.command}`, since {_local_time(owner.since)})"
    if owner.command.endswith(" up"):
        end = f"nnunet-assets down {shlex.quote(str(project))}"
    else:
        end = f"Ctrl-C in its terminal, or: kill -INT {owner.process}"
    return RunningDaemon(who, owner.page, f"End it{'' if is_here else f', on {owner.host}'}: {end}")


def _of_users(process: psutil.Process) -> RunningDaemon:
    since = datetime.fromtimestamp(process.create_time(), UTC).isoformat()
    shown = " ".join(_shown(process.cmdline()))
    who = f"Process {process.pid} (`{shown}`, since {_local_time(since)})"
    return RunningDaemon(who, "", f"End it: Ctrl-C in its terminal, or: kill -INT {process.pid}")


def _elsewhere(project: Path, progress: Progress) -> RunningDaemon | None:
    """Returns a daemon that no process of this machine explains; waits for its next sign where the last one is young.

    Clocks of two machines differ: whether a sign is a new one is told by its being another one. Where the last daemon
    that is known was another machine's, a sign may be young however old it looks.
    """
    owner = last_owner(project / ".dagster")
    named = owner if owner and owner.host != host_name() else None
    last = last_sign_of_daemon(project)
    age = time.time() - last if last is not None else None
    if age is None or abs(age) > (OLD_SECONDS if named else 2 * SIGN_SECONDS):
        return None
    wait = SIGN_SECONDS + 5 if named else min(2 * SIGN_SECONDS - abs(age), SIGN_SECONDS + 5)
    progress.say(
        f"A Dagster daemon gave a sign of life {abs(age):.0f} s ago, and none runs on this machine. Looking for up to "
        f"{wait:.0f} s whether one does {f'on {named.host}' if named else 'elsewhere'} ..."
    )
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        time.sleep(1)
        if last_sign_of_daemon(project) != last:
            if named:
                return _of_ours(named, project)
            return RunningDaemon(
                "A process on another machine, in another container or of another user",
                "",
                "End it there: it gave a sign of life this moment in Dagster's instance.",
            )
    return None


def _daemons_of_users(home: Path) -> Iterator[psutil.Process]:
    """Yields the processes of this machine that run a daemon on an instance, those that started others first."""
    found, home = [], home.resolve()
    for process in psutil.process_iter():
        # One that ends meanwhile, or is another user's.
        with suppress(psutil.Error, OSError):
            if _shown(process.cmdline()) and home in _homes(process):
                found.append((process.create_time(), process.pid, process))
    yield from (process for *_, process in sorted(found, key=lambda one: one[:2]))


def _shown(command: Sequence[str]) -> Sequence[str]:
    """Returns program and word of the call of a daemon, as somebody types it; empty: it is another call."""
    for index, (word, after) in enumerate(pairwise(command)):
        name = Path(word).name
        if _PROGRAMS.get(name) == after and (index == 0 or Path(command[0]).name.startswith("python")):
            return ("dagster-daemon" if name == "dagster._daemon" else name, after)
    return ()


def _homes(process: psutil.Process) -> set[Path]:
    """Returns what a process may have as DAGSTER_HOME: Dagster reads the `.env` where it starts, too."""
    named = [process.environ().get("DAGSTER_HOME"), dotenv_values(Path(process.cwd()) / ".env").get("DAGSTER_HOME")]
    return {Path(home).resolve() for home in named if home}


def _local_time(since: str) -> str:
    try:
        return datetime.fromisoformat(since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return since
