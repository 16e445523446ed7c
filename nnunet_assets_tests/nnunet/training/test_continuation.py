"""A trainer brought to where another one ended; real trainings are in `faults.test_variants`."""

import copy
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.fold.continued_fold import ContinuedFold
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.nnunet.checkpoints.checkpoints import FINAL
from nnunet_assets.nnunet.training.continuation import continued_records, go_on_from
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, tiny

__all__ = ["tiny"]

TUNABLE = "nnUNetTrainerTunable"


def parent_in(folder: Path, tiny: TinyTrainers, **chosen: Any) -> tuple[Any, ContinuedFold]:
    """Returns a trainer after its two epochs, and the fold that it left."""
    trainer = tiny.initialized(TUNABLE, **chosen)
    tiny.train(trainer)
    trainer.current_epoch = 1
    trainer._best_ema = 0.5
    folder.mkdir()
    trainer.save_checkpoint(str(folder / FINAL))
    return trainer, ContinuedFold("the parent, fold_0", "short", folder, file_sha256(folder / FINAL), 2, "")


def child_in(folder: Path, tiny: TinyTrainers, **chosen: Any) -> Any:
    trainer = tiny.build(TUNABLE, **{"num_epochs": 4, **chosen})
    folder.mkdir()
    trainer.output_folder = str(folder)
    return trainer


def test_it_has_weights_momentum_and_epochs_and_what_is_declared_of_the_optimizer(
    tmp_path: Path, tiny: TinyTrainers
) -> None:
    import torch

    parent, continued = parent_in(tmp_path / "parent", tiny)
    child, progress = child_in(tmp_path / "child", tiny, weight_decay=0.5), RecordedProgress()

    go_on_from(child, continued, progress)

    weights = child.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in parent.network.state_dict().items())
    momenta = [one.optimizer.state_dict()["state"] for one in (parent, child)]
    assert momenta[0].keys() == momenta[1].keys()
    assert all(torch.equal(momenta[0][k]["momentum_buffer"], momenta[1][k]["momentum_buffer"]) for k in momenta[0])
    assert child.optimizer.param_groups[0]["weight_decay"] == 0.5
    assert (child.current_epoch, child._best_ema) == (2, None)
    assert progress.said == ["Going on with the parent, fold_0 after its 2 epochs."]
    assert [path.name for path in (tmp_path / "child").iterdir()] == []
    # nnU-Net's poly of four epochs, from the third on.
    seen = tiny.train(child, range(2, 4))
    assert seen[0][1] == pytest.approx(0.01 * (1 - 2 / 4) ** 0.9)


def test_another_optimizer_begins_anew_and_says_so(tmp_path: Path, tiny: TinyTrainers) -> None:
    _, continued = parent_in(tmp_path / "parent", tiny)
    child, progress = child_in(tmp_path / "child", tiny, optimizer_name="AdamW"), RecordedProgress()

    go_on_from(child, continued, progress)

    assert child.optimizer.state_dict()["state"] == {}
    assert progress.said[-1].endswith("Its optimizer is another one and begins anew.")
    tiny.train(child, range(2, 3))


def test_a_schedule_by_iteration_is_where_it_is_among_all_epochs(tmp_path: Path, tiny: TinyTrainers) -> None:
    chosen = {"lr_schedule": "OneCycle", "max_lr": 0.1}
    _, continued = parent_in(tmp_path / "parent", tiny, **chosen)
    child = child_in(tmp_path / "child", tiny, **chosen)
    whole = tiny.initialized(TUNABLE, num_epochs=4, **chosen)

    go_on_from(child, continued, RecordedProgress())

    rates = [[rate for _, rate in tiny.train(one, range(2, 4))] for one in (child, whole)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda fold: fold.checkpoint.write_bytes(b"PK\x03\x04 another"), "changed after the fold was asked for"),
        (lambda fold: fold.checkpoint.unlink(), "cannot be read: .*No such file"),
    ],
)
def test_a_checkpoint_that_is_not_the_one_that_was_meant_is_refused(
    tmp_path: Path, tiny: TinyTrainers, spoil: Any, sentence: str
) -> None:
    _, continued = parent_in(tmp_path / "parent", tiny)
    spoil(continued)

    with pytest.raises(ChildFailure, match=sentence):
        go_on_from(child_in(tmp_path / "child", tiny), continued, RecordedProgress())


def test_another_network_and_a_packages_checkpoint_are_refused(tmp_path: Path, tiny: TinyTrainers) -> None:
    import torch

    _, continued = parent_in(tmp_path / "parent", tiny)
    content = torch.load(continued.checkpoint, weights_only=False)

    def saved(name: str, changed: dict[str, Any]) -> ContinuedFold:
        folder = tmp_path / name
        folder.mkdir()
        torch.save(changed, folder / FINAL)
        return ContinuedFold("the parent, fold_0", "short", folder, file_sha256(folder / FINAL), 2, "")

    other = copy.deepcopy(content)
    other["network_weights"]["encoder.of.another"] = other["network_weights"].popitem()[1]
    with pytest.raises(ChildFailure, match="The network of the parent, fold_0 is not the one that is to go on"):
        go_on_from(child_in(tmp_path / "a", tiny), saved("other", other), RecordedProgress())
    slim = {key: content[key] for key in ("network_weights", "trainer_name", "init_args")}
    with pytest.raises(ChildFailure, match=r"cannot be continued: it has no .*optimizer_state"):
        go_on_from(child_in(tmp_path / "b", tiny), saved("slim", slim), RecordedProgress())


def test_without_an_epoch_left_nothing_begins(tmp_path: Path, tiny: TinyTrainers) -> None:
    continued = ContinuedFold("the parent, fold_0", "short", tmp_path, "", 4, "")

    with pytest.raises(ChildFailure, match="trained for 4 epochs, and num_epochs is 4, those included: none is left"):
        go_on_from(child_in(tmp_path / "child", tiny), continued, RecordedProgress())


def test_the_epochs_of_its_journal_are_taken_over_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".nnunet_assets").mkdir()
    continued = ContinuedFold("the parent, fold_0", "short", tmp_path, "", 2, "")
    assert continued_records(continued) == []
    append_record(journal_path(tmp_path), "start", {"params": {}})
    for epoch in range(2):
        append_record(journal_path(tmp_path), "epoch", {"train_loss": 1.0}, epoch)
    append_record(journal_path(tmp_path), "end", {"val_dice_mean": 0.5})

    assert [record.epoch for record in continued_records(continued)] == [0, 1]
