"""Runs commands of `nnunet-assets` in a process in which Dagster cannot be imported."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

HEAVY = ("torch", "nnunetv2", "mlflow")
CODE = """
import json, sys
sys.modules["dagster"] = None  # an import of it is an error
from click.testing import CliRunner
from nnunet_assets.cli.main import main
ran = [CliRunner().invoke(main, command) for command in json.loads(sys.argv[1])]
outcomes = [[one.exit_code, one.output + repr(one.exception or "")] for one in ran]
print(json.dumps([outcomes, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""


def run_without_dagster(
    *commands: list[str],
    environment: Mapping[str, str] = MappingProxyType({}),
    may_load: tuple[str, ...] = (),
) -> list[tuple[int, str]]:
    """Returns exit code and output of each, all in one process, which loads nothing heavy for them but what it may."""
    arguments = [sys.executable, "-c", CODE, json.dumps(commands), json.dumps(HEAVY)]
    found = subprocess.run(arguments, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    outcomes, heavy = json.loads(found.stdout.splitlines()[-1])
    assert set(heavy) <= set(may_load)
    return [(code, output) for code, output in outcomes]
