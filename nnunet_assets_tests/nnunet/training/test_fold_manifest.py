from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.nnunet.training import fold_manifest


def test_the_time_of_a_training_is_that_of_every_epoch_that_can_be_read(tmp_path: Path) -> None:
    path = journal_path(tmp_path)
    append_record(path, "start", {"attempt": "a"})
    for epoch in range(4):
        append_record(path, "epoch", {"epoch_seconds": 2.0**epoch}, epoch)
    append_record(path, "end", {"val_dice_mean": 0.5})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"deadbeef" + lines[2][8:]
    path.write_bytes(b"".join(lines))
    trainer: Any = SimpleNamespace(output_folder=str(tmp_path), current_epoch=4)
    assert fold_manifest._training_seconds(trainer) == 1 + 4 + 8
    assert fold_manifest._training_seconds(trainer, 2) == 4 + 8
