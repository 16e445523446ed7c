"""Runs commands of `nnunet-assets` in one process and notes each file that the last opens below a folder, each time.

`python -m nnunet_assets_tests.opened_files FOLDER REPORT COMMANDS`: COMMANDS is a JSON list of lists of arguments, and
REPORT becomes one path a line, relative to FOLDER. A process of its own, since Python never takes an audit hook back.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


def opened_by(folder: Path, *commands: Sequence[str], environment: Mapping[str, str]) -> tuple[Counter[str], list[str]]:
    """Returns how often the last command opens each file below a folder, by its path there, and what all print."""
    report = folder.with_name(f"{folder.name}_opened")
    arguments = [str(folder), str(report), json.dumps(commands)]
    done = subprocess.run(
        [sys.executable, "-m", "nnunet_assets_tests.opened_files", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Counter(report.read_text().splitlines()), done.stdout.splitlines()


def main(folder: str, report: str, commands: str) -> None:
    """Runs the commands, and writes what the last one opened."""
    from nnunet_assets.cli.main import main as run

    *first, last = json.loads(commands)
    for command in first:
        with suppress(SystemExit):  # by which it ends
            run(command)
    opened = []

    def note(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], str) and details[0].startswith(f"{folder}{os.sep}"):
            opened.append(os.path.relpath(details[0], folder))

    sys.addaudithook(note)
    try:
        run(last)
    finally:
        Path(report).write_text("\n".join(opened))


if __name__ == "__main__":
    main(*sys.argv[1:])
