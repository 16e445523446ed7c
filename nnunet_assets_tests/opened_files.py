"""Runs a command of `nnunet-assets` twice and notes each file that it opens below a folder the second time, each time.

`python -m nnunet_assets_tests.opened_files FOLDER REPORT train 4 2d 0`: REPORT becomes one path a line, relative to
FOLDER. A process of its own, since Python never takes an audit hook back.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def opened_by(folder: Path, *arguments: str, environment: Mapping[str, str]) -> tuple[Counter[str], str]:
    """Returns how often a command that has nothing to do any more opens each file below a folder, and what it prints.

    The files by their paths in the folder. The first run, which may have something to do, is not counted.
    """
    report = folder.with_name(f"{folder.name}_opened")
    command = [sys.executable, "-m", "nnunet_assets_tests.opened_files", str(folder), str(report), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Counter(report.read_text().splitlines()), done.stdout


def main(folder: str, report: str, *arguments: str) -> None:
    """Runs the command twice, and writes what it opened the second time."""
    from nnunet_assets.cli.main import main as command

    with suppress(SystemExit):  # by which it ends
        command(list(arguments))
    opened = []

    def note(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], str) and details[0].startswith(f"{folder}{os.sep}"):
            opened.append(os.path.relpath(details[0], folder))

    sys.addaudithook(note)
    try:
        command(list(arguments))
    finally:
        Path(report).write_text("\n".join(opened))


if __name__ == "__main__":
    main(*sys.argv[1:])
