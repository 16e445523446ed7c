"""Commands of `dg` in a process of their own, one for all of a test: it imports Dagster for seconds."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CODE = """
import json, sys
from dagster_dg_cli.cli import ENV_PREFIX, cli
for command in json.loads(sys.argv[1]):
    try:
        cli(command, prog_name="dg", auto_envvar_prefix=ENV_PREFIX)
    except SystemExit as end:
        if end.code:
            raise
    print(end="\\0", flush=True)
"""


def run_dg(project: Path, *commands: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """Returns what each printed; a command that fails is the test's failure."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(commands)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\0")[:-1]
