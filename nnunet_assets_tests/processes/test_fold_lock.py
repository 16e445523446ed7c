"""Who holds a fold, as others are told."""

import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment, FoldPlace
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.supervisor import FoldFailed

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


@pytest.mark.parametrize(
    ("owner", "named"),
    [
        ('{"host": "node1", "process": 7, "since": "noon"}', "node1, process 7, since noon"),
        ("[]", "unknown host, process unknown, since unknown"),
        ("null", "unknown host"),
        ('{"host"', "unknown host"),
    ],
)
def test_who_trains_a_fold_is_named_as_far_as_its_note_says(tmp_path: Path, owner: str, named: str) -> None:
    model = tmp_path / "Dataset004_A" / "nnUNetTrainer__nnUNetPlans__2d"
    place = FoldPlace(Experiment("Dataset004_A", "2d"), "fold_0", model / "fold_0")
    with fold_lease(place):
        pass
    (note,) = model.rglob("fold_0.owner.json")
    note.write_text(owner)
    command = [sys.executable, "-c", HOLD, str(note.with_name("fold_0.lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FoldFailed, match=f"fold_0 is being trained by another process: {named}"), fold_lease(place):
            pass
        other.communicate("\n")
