"""What a warm Python forks is what Python itself would have started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets_tests.warm_python import BESIDE, WarmPopen

REPORT = """
import json, os, signal, sys
from sys import modules  # that is what it is not asked for
before = sorted(name for name in modules if name.startswith("nnunet"))
from nnunetv2.paths import nnUNet_raw
with os.fdopen(int(sys.argv[1])) as given:
    print(json.dumps({
        "argv": sys.argv, "name": __name__, "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ),
        "parent": os.getppid(), "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "given": given.read(), "files": sorted(os.listdir("/proc/self/fd")),
        "command": open("/proc/self/cmdline").read(), "signals": [str(signal.getsignal(n)) for n in (2, 15, 17)],
        "before": before, "raw": str(nnUNet_raw), "read": sys.stdin.read(), "is_forked": "torch" in modules,
    }))
print("warned", file=sys.stderr)
"""


def report_of(kind: type[Any], folder: Path, *, flags: list[str], new_session: bool) -> dict[str, Any]:
    """Returns what a process of this kind finds, started with a file, an input, a folder and variables of its own."""
    (folder / "given").write_text("what was given")
    (folder / "place").mkdir(exist_ok=True)
    # Of this process's own variables, but for what the tests have set of projects.
    variables = {**os.environ, "nnUNet_raw": "/their/raw", "ODD": "a\udcffé"}
    with (folder / "given").open() as given:
        process = kind(
            [sys.executable, *flags, "-c", REPORT, str(given.fileno()), "two words"],
            env=variables,
            cwd=folder / "place",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[given.fileno()],
            start_new_session=new_session,
        )
        printed, warned = process.communicate("an input")
    assert (process.returncode, warned) == (0, "warned\n")
    return {**json.loads(printed), "pid": None}


@pytest.mark.parametrize(("flags", "new_session"), [(["-P", "-u"], True), ([], False)])
def test_it_finds_what_a_process_of_its_own_finds(tmp_path: Path, flags: list[str], new_session: bool) -> None:
    found, expected = (
        report_of(kind, tmp_path, flags=flags, new_session=new_session) for kind in (WarmPopen, WarmPopen.__base__)
    )
    assert (found.pop("is_forked"), expected.pop("is_forked")) == (True, False)
    assert found["command"].rstrip("\0") == expected.pop("command").rstrip("\0")
    assert {name: found[name] for name in expected} == expected
    assert (found["parent"], found["before"], found["raw"]) == (os.getpid(), [], "/their/raw")


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('a sentence')", 1, "a sentence\n"),
        ("raise ValueError('odd')", 1, "ValueError: odd\n"),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_a_process_of_its_own_ends(end: str, code: int, said: str) -> None:
    command = [sys.executable, "-c", f"import torch\nimport os, sys\n{end}"]
    process = WarmPopen(command, stderr=subprocess.PIPE, text=True)
    printed = process.communicate()[1]
    assert printed.endswith(said)
    assert bool(printed) == bool(said)
    assert process.returncode == code


def test_a_module_and_a_script_of_nnunet_run_as_the_main_one() -> None:
    script = str(Path(sys.executable).with_name("nnUNetv2_train"))
    for command in ([sys.executable, "-P", "-m", "nnunetv2.run.run_training"], [script]):
        process = WarmPopen([*command, "--help"], stdout=subprocess.PIPE, text=True)
        printed = process.communicate()[0]
        assert printed.count("--npz") >= 1
        assert f"usage: {Path(command[-1]).name.removeprefix('nnunetv2.run.')}"[:20] in printed
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (["-c", "print('no nnU-Net')"], {}),
        (["-c", "import torch, sys\nprint('torch' in sys.modules)"], {}),
        (["-X", "importtime", "-c", "import torch"], {}),
        (["-m", "nnunet_assets.cli"], {}),
        (["-c", "import torch"], {"OMP_NUM_THREADS": "7"}),
        (["-c", "import torch"], {"PYTHONOPTIMIZE": "1"}),
        (["-c", "import torch"], {"PYTHONPATH": "/of/another/torch"}),
    ],
)
def test_what_it_could_not_do_alike_it_leaves_to_python(command: list[str], variables: dict[str, str]) -> None:
    assert not WarmPopen.warm.takes([sys.executable, *command], {**os.environ, **variables})


BESIDE_IT = """
import torch
import os, subprocess, sys
child = [sys.executable, "-P", "-c", "import torch\\nimport os; print(os.getppid(), os.environ['ODD'])"]
print(subprocess.Popen.__name__, os.getpid(), subprocess.run(child, capture_output=True, text=True).stdout)
"""


def test_a_child_that_starts_children_has_one_beside_it() -> None:
    process = WarmPopen(
        [sys.executable, "-c", BESIDE_IT],
        env={**os.environ, BESIDE: "1", "ODD": "there"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.communicate()[0].split() == ["WarmPopen", str(process.pid), str(process.pid), "there"]
    assert process.returncode == 0


def test_processes_of_the_default_tests_are_its_own() -> None:
    assert subprocess.Popen is WarmPopen
    assert WarmPopen.warm.takes([sys.executable, "-c", "import torch"], os.environ)
