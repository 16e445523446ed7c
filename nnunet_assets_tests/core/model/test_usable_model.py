"""The members of a model on the disk."""

from pathlib import Path

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member, UsableModel


def test_the_checkpoints_are_in_the_order_of_the_folds() -> None:
    member = Member(Experiment("Dataset001_A", "2d"), Path("m"), ("fold_1", "fold_0"), "checkpoint_best.pth")
    assert member.checkpoints == (Path("m/fold_1/checkpoint_best.pth"), Path("m/fold_0/checkpoint_best.pth"))


def test_the_first_of_an_ensemble_stands_for_all() -> None:
    one, other = (Member(Experiment("Dataset001_A", name), Path(name), ("fold_0",), "c.pth") for name in ("2d", "3d"))
    assert UsableModel("both", (one, other), (), "").first is one
