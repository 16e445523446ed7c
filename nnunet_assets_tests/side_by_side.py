"""The default tests in three processes side by side: `python -m nnunet_assets_tests.side_by_side [PYTEST_OPTION ...]`.

Each collects the files of its group alone. Processes that are dealt files as they ask (pytest-xdist) all collect all of
them, 10 s each and 20 s in a fresh clone, and each test costs 2 ms of messages: an eighth of what the tests take.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

from nnunet_assets_tests.warm_process import TESTS
from nnunet_assets_tests.warm_python import MODULE, ROOM

FOLDER = Path(__file__).parent

GROUPS: Mapping[str, tuple[str, ...]] = {
    # They import nnU-Net, for 6 s in a process.
    "nnunet": (
        *(f"nnunet/{name}" for name in ("training", "ensembles", "packages", "preparation", "folds", "adoption")),
        *(f"nnunet/{name}" for name in ("checkpoints", "evaluation", "plans", "predictions", "raw", "results")),
        *(f"nnunet/{name}" for name in ("splits", "trainer", "watching", "test_seams.py")),
        *("trainers", "version_0_1_0", "cli/fold/test_train.py", "test_warm_python.py"),
        *(f"workflows/fold/test_{name}.py" for name in ("tracked_trainer", "dry_run")),
        *(f"core/dataset/test_{name}.py" for name in ("dataset_json", "configurations", "plan_sizes", "region_rules")),
        *("core/evaluation/test_metrics_of_monai.py", "core/model/test_largest_component.py"),
        *("core/summary/test_scored_summary_contract.py", "core/fold/test_validation_again.py"),
        *("declarations/sections/test_tunable_trainers.py", "tracking/registry/test_round_trip.py"),
        *("fakes/test_fold_child.py", "processes"),
        *("assets", "reports"),
    ),
    # They share an MLflow server, which takes 4 s to start.
    "mlflow": ("tracking", "workflows", "cli"),
    # `test_end_to_end.py` waits for daemons, minutes long.
    "others": (".",),
}
"""Folders and files by group; what lies below one of them and is another group's belongs to that.

Beside what a group has to have, they are dealt so that all three take equally long, as each says at its end.
"""

WARM_GROUP = "nnunet"
"""The one that begins with what `warm_process` imports."""

PLUGINS = ("-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin")
"""Of pytest's, what the tests use; others that are installed are not looked for."""

MADE_ONCE = "TESTS_MADE_ONCE"
"""A variable with the folder for what the processes share."""


def main(options: Sequence[str]) -> int:
    """Runs the groups, prints what they print, line by line behind the group's name, and returns 1 where one fails."""
    shared = tempfile.mkdtemp(prefix="made_once_")
    # Bytecode is kept, whatever the shell says: tests start a few hundred processes.
    environment = {
        **os.environ,
        MADE_ONCE: shared,
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    environment.setdefault("OMP_NUM_THREADS", "1")  # as `conftest` has it, which comes after the first import

    def run(group: str) -> tuple[int, str]:
        given = [*PLUGINS, *options, *arguments_of(group)]
        is_warm = group == WARM_GROUP and sys.platform == "linux"
        command = [sys.executable, "-m", *((MODULE, TESTS, *given, ROOM) if is_warm else ("pytest", *given))]
        last = ""
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                last = f"{group:6} {line}"
                print(last, end="", flush=True)
        return process.returncode, last

    try:
        with ThreadPoolExecutor(len(GROUPS)) as pool:
            ends = list(pool.map(run, GROUPS))
    finally:
        shutil.rmtree(shared)
    print("\n", *(last for _, last in ends), sep="", end="")
    return int(any(code for code, _ in ends))


def arguments_of(group: str) -> Iterator[str]:
    """Yields what pytest is to collect of a group, and to leave to the others."""
    yield from (str(FOLDER / path) for path in GROUPS[group])
    others = (path for other, paths in GROUPS.items() if other != group for path in paths)
    yield from (f"--ignore={FOLDER / path}" for path in others if _is_below_any(path, GROUPS[group]))


def _is_below_any(path: str, folders: Sequence[str]) -> bool:
    return any(PurePath(path).is_relative_to(folder) for folder in folders)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
