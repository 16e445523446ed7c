"""A disk that is full costs nothing that was saved: the fold says so, and goes on when there is room."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.faults.conftest import Prepared
from nnunet_assets_tests.faults.trials import FOLD_OF_TRIALS, SIBLING, Trial, check_finished
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

# A file system of this process alone: what is mounted goes with it.
SCRIPT = """
set -u
mount -t tmpfs -o size="$SMALL" tmpfs "$RESULTS"
cp -a "$RESULTS.before/." "$RESULTS"
# Without it nobody knows how large a checkpoint is, and the fold begins.
mv "$SIBLING" "$RESULTS/aside"
"$@"; echo "first $?"
ls "$FOLDER"; echo "that was left"
mv "$RESULTS/aside" "$SIBLING"
mount -o remount,size=500m "$RESULTS"
"$@"; echo "second $?"
cp -a "$RESULTS" "$RESULTS.after"
"""


def can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="this user may not mount a file system of its own (unshare -rm)")
@pytest.mark.parametrize("n_checkpoints", [0.5, 1.5, 2.5])
def test_a_full_disk_leaves_the_last_checkpoint_and_the_fold_goes_on_when_there_is_room(
    make_trial: Callable[..., Trial], prepared: Prepared, said: Callable[..., None], n_checkpoints: float
) -> None:
    trial = make_trial()
    results, fold = trial.roots.results, trial.fold_folder()
    used = sum(_blocks(path.stat().st_size) for path in results.rglob("*") if path.is_file())
    room = used + int(n_checkpoints * (prepared.sibling / "checkpoint_final.pth").stat().st_size) + 2_000_000
    results.rename(f"{results}.before")
    results.mkdir()
    variables = {
        "SMALL": str(room),
        "RESULTS": str(results),
        "FOLDER": str(fold),
        "SIBLING": str(trial.fold_folder(SIBLING)),
    }
    child = [sys.executable, "-m", "nnunet_assets_tests.faults.one_fold", FOLD_OF_TRIALS, trial.trainer]
    seen = subprocess.run(
        ["unshare", "-rm", "bash", "-c", SCRIPT, "bash", *child],
        env={**trial.environment, **variables},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    output = seen.stdout + seen.stderr
    trial.end_processes()
    assert f"first {int(ExitCode.NO_SPACE)}" in output, output
    assert "No space is left on the disk" in output or "no space is left on the disk" in output
    assert "second 0" in output, output
    results.rmdir()
    results.with_name("results.after").rename(results)
    left = output.split("first ")[1].split("that was left")[0]
    saved = [name for name in ("latest", "best", "final") if f"checkpoint_{name}.pth" in left]
    assert ".part" not in left
    said(room_for=f"{n_checkpoints} checkpoints", saved_by_then="+".join(saved) or "none", **check_finished(trial))


def _blocks(n_bytes: int) -> int:
    return -(-n_bytes // 4096) * 4096
