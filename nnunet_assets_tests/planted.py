"""Folders full of modules that must not run: each leaves a mark when it does, and then is no use to anybody."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import IO

NOT_INSTALLED = (
    "wandb",
    "ray",
    "cupy",
    "sitecustomize",
    "usercustomize",
    "gunicorn",
    "pyspark",
    "hiddenlayer",
    "boto3",
)
"""What libraries try to import where it is there, and what Python imports by itself when it starts."""

PACKAGES = ("nnunetv2", "nnunet_assets", "torch", "mlflow", "dagster", "dagster_webserver", "experiments_of_another")
"""These are planted as folders, the others as files."""


@cache
def module_names() -> tuple[str, ...]:
    """Returns every top-level module that a process of ours may ask for."""
    known = {*sys.stdlib_module_names, *packages_distributions(), *NOT_INSTALLED, *PACKAGES}
    return tuple(sorted(name for name in known if name.isidentifier() and name != "nnunet_assets_tests"))


@cache
def started_with() -> frozenset[str]:
    """Returns the modules that the interpreter asks for before the first line of a program: nobody can keep them out.

    Some of them are not there, such as those of Windows, for which an editable installation's finder asks too.
    """
    asked = [sys.executable, "-c", "import sys; print(*{name.split('.')[0] for name in sys.modules})"]
    there = frozenset(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split())
    with tempfile.TemporaryDirectory() as folder:
        modules, marks = Path(folder) / "modules", Path(folder) / "marks"
        plant(modules, marks, set(module_names()) - there)
        subprocess.run([sys.executable, "-c", ""], env={**os.environ, "PYTHONPATH": str(modules)}, check=True)
        return there | marks_in(marks).keys()


def plant(folder: Path, marks: Path, names: Iterable[str]) -> None:
    """Writes the modules; whatever runs of them makes a file of its name in `marks`, with the process that ran it."""
    marks.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = folder / name / "__init__.py" if name in PACKAGES else folder / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        # No import of its own would be found.
        place.write_text(
            f"with open({str(marks / name)!r}, 'w') as mark, open('/proc/self/cmdline') as command:\n"
            "    mark.write(command.read().replace('\\0', ' '))\n"
            "raise ImportError('a planted module ran')\n"
        )


def marks_in(marks: Path) -> dict[str, str]:
    """Returns which planted modules ran, and in what."""
    return {path.name: path.read_text() for path in sorted(marks.iterdir())}


OURS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "NNUNET_ASSETS_PROJECT")
# `python -m` and `-c` put the current folder before everything else; the command does not.
COMMAND = Path(sys.executable).with_name("nnunet-assets")


class Planted:
    """A project, and a folder to stand in, both full of modules that must not run."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.project = project
        self.here, self.marks = folder / "here", folder / "marks"
        self.here.mkdir()
        for place in (self.project, self.here):
            plant(place, self.marks, module_names())

    def run(self, *arguments: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        # Servers may inherit a pipe and keep it open.
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            code = subprocess.run(
                [str(COMMAND), *arguments],
                cwd=folder or self.here,
                env=self._environment(variables),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                check=False,
            ).returncode
            for stream in (stdout, stderr):
                stream.seek(0)
            return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())

    def start(self, *arguments: str, output: IO[bytes], **variables: str) -> "subprocess.Popen[bytes]":
        """Starts a command that goes on."""
        return subprocess.Popen(
            [str(COMMAND), *arguments],
            cwd=self.here,
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**{name: value for name, value in os.environ.items() if name not in OURS}, **variables}

    @property
    def ran(self) -> dict[str, str]:
        return marks_in(self.marks)
