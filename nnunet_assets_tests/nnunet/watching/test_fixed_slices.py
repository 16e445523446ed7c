"""The slices that a training is watched by: which they are, and that nnU-Net itself predicts them so."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.watching.fixed_slices import FixedSlices
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, batch, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer

REGIONS = {"background": 0, "whole": [1, 2], "core": 2}


class Cases:
    """What nnU-Net's dataset gives of a case: image, labels, the previous stage's labels, properties."""

    def __init__(self, folder: str, identifiers: list[str], previous: str | None) -> None:
        self.identifiers, self._previous = identifiers, previous

    def load_case(self, case: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        drawn = np.random.default_rng(int(case[-1]))
        shape = (40, 12, 50)  # smaller than a patch along one axis, larger along the others
        labels = np.zeros((1, *shape), np.int8)
        labels[0, :2] = -1
        labels[0, 7, 3:9, 40:48] = 1
        labels[0, 8, 3:9, 40:42] = 2
        return drawn.normal(size=(1, *shape)).astype(np.float32), labels, None, {}


def ready(tiny: TinyTrainers, **chosen: Any) -> Any:
    trainer = tiny.initialized("nnUNetTrainer", **chosen)
    trainer.dataset_class = Cases
    trainer.do_split = lambda: ([], ["case_3", "case_1", "case_2"])
    return trainer


def test_each_case_shows_the_slice_with_most_labels_around_their_middle(tiny: TinyTrainers) -> None:
    trainer = ready(tiny)

    panels = FixedSlices(trainer, 2).panels()

    assert [panel.case for panel in panels] == ["case_1", "case_2"]
    size = tuple(trainer.configuration_manager.patch_size[1:])
    for panel in panels:
        assert panel.image.shape == panel.reference.shape == panel.prediction.shape == size
        assert sorted(np.unique(panel.reference)) == [0, 1]
        assert (panel.reference == 1).sum() == 6 * 8
        assert not panel.reference[12:].any()  # filled up


def test_a_prediction_is_what_nnunet_makes_of_the_patch(tiny: TinyTrainers) -> None:
    import torch

    trainer = ready(tiny)
    slices = FixedSlices(trainer, 3)
    trainer.network.eval()
    expected = []
    for one in slices._slices:
        with torch.no_grad():
            output = trainer.network(torch.from_numpy(one.data[None]))[0]
        assert one.row is not None
        expected.append(output[0].argmax(0)[one.row].numpy())

    shown = slices.panels()

    assert len(shown) == 3  # of batches of 2
    for panel, labels in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(panel.prediction, labels)


def test_a_look_changes_neither_weights_nor_statistics_nor_random_numbers(tiny: TinyTrainers) -> None:
    import torch

    trainer = ready(tiny)
    slices = FixedSlices(trainer, 3)
    trainer.network.train()
    trainer.train_step(batch(0))
    before, drawn = copy.deepcopy(trainer.network.state_dict()), torch.get_rng_state()

    slices.panels()

    assert trainer.network.training
    assert torch.equal(torch.get_rng_state(), drawn)
    after = trainer.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_a_label_it_is_the_middle(tiny: TinyTrainers, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = ready(tiny)
    load = Cases.load_case

    def unlabelled(self: Any, case: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        data, labels, *rest = load(self, case)
        return data, np.zeros_like(labels), rest[0], rest[1]

    monkeypatch.setattr(Cases, "load_case", unlabelled)
    (panel,) = FixedSlices(trainer, 1).panels()
    assert not panel.reference.any()
    assert panel.image.any()


def test_no_case_is_no_panel(tiny: TinyTrainers, tmp_path: Path) -> None:
    trainer = ready(tiny)
    trainer.do_split = lambda: ([], [])
    assert FixedSlices(trainer, 4).panels() == []
