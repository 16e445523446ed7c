"""Where commands are tried: a project that is as good as new each time, and a folder beside it full of odd things."""

import os
import resource
import shutil
import sqlite3
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from nnunet_assets_tests.any_input import finished_project
from nnunet_assets_tests.any_input.command_lines import filled
from nnunet_assets_tests.any_input.damages import Damage
from nnunet_assets_tests.any_input.one_run import READY, Run, run

KEPT = {
    *(".env", "dagster.yaml", "defs.yaml", "dg.toml", "manifest.json", "COMMIT", "journal.jsonl"),
    *("mlflow.db", "splits_final.json", "splits.json", "plans.json", "tinyPlans.json", "baseline.json", "summary.json"),
    *("checkpoints.json", "checkpoint_final.pth", "pseudonym_salt"),
}
"""What a user, a training or a decision made: a damaged one may be repairable, and is never written over; a database
that still has its tables is gone on with, since nobody can see a bit that turned inside a row."""

MOST_BYTES = 2**30
"""What a command may take of the memory beyond the most that this process ever had: libraries, a few small files."""

REMADE = {("adopt", "journal.jsonl"), ("adopt", "manifest.json"), ("adopt", "COMMIT"), ("accept", "baseline.json")}
"""Commands whose work it is to write these anew."""
TRACKING = {"adopt", "dev", "sync", "train", "up"}
"""Commands that make MLflow's store where there is none; an empty file is none, and `sync` sends all that there is."""
NO_STORE = (None, (stat.S_IFREG, b""))
WRITTEN_WHERE_MISSING = {"dagster.yaml", "pseudonym_salt", "splits_final.json"}
"""What whoever needs it makes where there is none: settings of Dagster's instance, the key of pseudonyms, the split as
it is recorded."""


class Place:
    """A folder in which commands are tried.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside = folder / "outside"
        self.template = finished_project.make_template(folder)
        self.files = [path.relative_to(self.template) for path in finished_project.files_in(self.template)]
        self._n_copies = 0
        self._project: Path | None = None
        self._read_by: dict[tuple[str, ...], tuple[Run, list[Path]]] = {}

    @property
    def project(self) -> Path:
        """The project as it was made."""
        if self._project is None:
            self._n_copies += 1
            self._project = finished_project.copy_of(self.template, self.folder / f"copy_{self._n_copies}")
            self._put_odd_things()
        return self._project

    def run(
        self,
        line: Sequence[str],
        *,
        folder: str = "{outside}",
        environment: Mapping[str, str] | None = None,
        charset: str = "utf-8",
    ) -> Run:
        """Runs a command line; afterwards the project is as it was."""
        project = self.project
        arguments = filled(line, project=project, outside=self.outside)
        (start,) = filled([folder], project=project, outside=self.outside)
        values = {name: filled([value], project=project)[0] for name, value in (environment or {}).items()}
        done = run(arguments, Path(start), values, charset=charset)
        self._tidy(done.writes)
        return done

    def files_read_by(self, line: Sequence[str]) -> tuple[Run, list[Path]]:
        """Returns how a command ends, and the files of the project that it opens, one of each kind."""
        key = tuple(line)
        if key not in self._read_by:
            project = self.project
            done = self.run(line)
            inside = {path.relative_to(project) for path in done.reads if path.is_relative_to(project)}
            by_name = {path.name: path for path in sorted(inside.intersection(self.files), reverse=True)}
            self._read_by[key] = done, sorted(by_name.values())
        return self._read_by[key]

    def problem_with_damaged(self, line: Sequence[str], file: Path, damage: Damage) -> str | None:
        """Damages a file and runs a command; returns what must not be: a traceback, a loss, a riddle."""
        good, _ = self.files_read_by(line)
        if file.suffix == ".db" and self._project:  # MLflow and Dagster keep one open that they had in their hands
            self._throw_away()
        path = self.project / file
        damage(path)
        before, peak, has_tables = _state(path), _peak_bytes(), file.suffix == ".db" and _has_tables(path)
        done = run(filled(line, project=self.project, outside=self.outside), self.outside, {})
        problem = done.fault
        if not problem and (taken := _peak_bytes() - peak) > MOST_BYTES:
            problem = f"{file} made it take {taken / 2**30:.1f} GiB more than anything before."
        may_change = (
            (line[0], file.name) in REMADE
            or (before is None and file.name in WRITTEN_WHERE_MISSING)
            or (before in NO_STORE and file.name == "mlflow.db" and line[0] in TRACKING)
            or has_tables
        )
        if not problem and file.name in KEPT and not may_change and _state(path) != before:
            problem = f"{file} was damaged, and is written over."
        stays_well = good.code != 1 or READY in good.output
        is_told = done.code != 1 or READY in done.output or any(name in done.output for name in _names_of(path))
        # Another name in it declares something else: what was asked for is not declared then.
        says_what_is_declared = "declare" in done.output or "Experiments: " in done.output
        is_told = is_told or (file.name == "defs.yaml" and says_what_is_declared)
        if not problem and stays_well and not is_told:
            problem = f"{file} is not named: {done.output}"
        # A command before it that gave MLflow up may still send in this process, into the copy that it had.
        if not problem and (elsewhere := done.written_outside(self.folder)):
            problem = f"Written elsewhere: {elsewhere}"
        self._tidy({*done.writes, path})
        return problem

    def _tidy(self, changed: set[Path]) -> None:
        project = self.project
        is_as_it_was = finished_project.put_back(self.template, project, changed)
        if not is_as_it_was or any(path.is_relative_to(self.outside) for path in changed):
            self._throw_away()

    def _throw_away(self) -> None:
        shutil.rmtree(self.project)
        self._project = None

    def _put_odd_things(self) -> None:
        shutil.rmtree(self.outside, ignore_errors=True)
        for name in ("empty", "with ? and %20", "closed"):
            (self.outside / name).mkdir(parents=True)
        (self.outside / "closed").chmod(0)
        (self.outside / "a file").write_text("x\n")
        (self.outside / "circle").symlink_to("circle")
        (self.outside / "nowhere").symlink_to("missing")
        os.mkfifo(self.outside / "pipe")
        os.mknod(self.outside / "socket", stat.S_IFSOCK | 0o600)


def _peak_bytes() -> int:
    """Returns the most memory that this process had so far; Linux counts kibibytes, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _names_of(path: Path) -> tuple[str, ...]:
    """Returns by which a message may name a file: its own name, or what has to be looked into: a fold, MLflow's run."""
    return path.name, str(path.parent), str(path.parent.parent), path.parent.parent.name


def _has_tables(path: Path) -> bool:
    """Tells whether SQLite still takes a file for one of its databases, and finds tables in it."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return bool(database.execute("select count(*) from sqlite_master").fetchone()[0])
    except sqlite3.DatabaseError:
        return False


def _state(path: Path) -> tuple[int, bytes] | None:
    """Returns what lies at a path; None: nothing."""
    if not os.path.lexists(path):
        return None
    mode = path.lstat().st_mode
    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
    return stat.S_IFMT(mode), content
