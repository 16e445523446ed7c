"""What the sources say of trainers, against what nnU-Net does with them."""

from pathlib import Path
from textwrap import dedent

import pytest

from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.processes.variables import EXTERNAL_TRAINERS, with_trainers
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, tiny

__all__ = ["tiny"]

GIVEN = "plans, configuration, fold, dataset_json, device"


def test_all_trainers_of_nnunet_and_of_ours_are_found_and_can_be_built() -> None:
    found = found_trainers(with_trainers({}))

    assert found.unread == {}
    assert {"nnUNetTrainer", "nnUNetTrainerBN", "nnUNetTrainer_5epochs", "nnUNetTrainerTunable"} <= set(found.trainers)
    assert "PolyLRScheduler" not in found.classes
    assert [name for name, source in found.trainers.items() if source.problem] == []
    assert found.settings("nnUNetTrainer_250epochs") == {"num_epochs": 250}
    assert found.settings("nnUNetTrainerAdam3en4") == {"initial_lr": 3e-4}
    both = found.settings("nnUNetTrainerSliceWiseBN")
    assert (both["warmup_batches"], both["optimizer_name"], both["max_lr"]) == (20, "AdamW", 1e-3)
    assert found.settings("nnUNetTrainer")["num_epochs"] == 1000


@pytest.mark.parametrize("names", ["nnUNetTrainerSliceWise", "nnUNetTrainerSliceWiseBN", "nnUNetTrainerTunableBN"])
def test_what_a_source_sets_is_what_the_trainer_has(tiny: TinyTrainers, names: str) -> None:
    trainer = tiny.build(names)
    found = found_trainers(tiny.variables).settings(names)
    assert found
    assert {name: getattr(trainer, name) for name in found} == found


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        (GIVEN, GIVEN),
        ("device, dataset_json, fold, configuration, plans", "plans, configuration, fold, dataset_json, device"),
        (f"{GIVEN}, *, unpack_dataset=True", GIVEN),
        ("plans, configuration, fold, dataset_json, unpack_dataset=True, device=None", GIVEN),
        ("*args, **kwargs", "*args, **kwargs"),
        ("plans, configuration, fold, dataset_json", f"{GIVEN.removesuffix(', device')}, None"),
        ("plan, configuration, fold, dataset_json, device", f"plan{GIVEN.removeprefix('plans')}"),
    ],
)
def test_a_constructor_that_nnunet_cannot_call_is_told_and_no_other(
    tiny: TinyTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str, given: str
) -> None:
    (tmp_path / "mine.py").write_text(
        dedent(
            f"""
            from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
            class Mine(nnUNetTrainer):
                def __init__(self, {taken}):
                    super().__init__({given})
            """
        )
    )
    variables = {EXTERNAL_TRAINERS: str(tmp_path)}
    monkeypatch.setenv(EXTERNAL_TRAINERS, str(tmp_path))
    problem = found_trainers(variables).trainers["Mine"].problem
    try:
        tiny.build_by_name_of_arguments("Mine")
    except (KeyError, TypeError):
        assert problem
        assert f"Mine ({tmp_path / 'mine.py'}:3) takes (" in problem
    else:
        assert problem is None


def test_odd_sources_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("class Broken(:\n")
    (tmp_path / "circle.py").write_text("class A(B): pass\nclass B(A): pass\nclass C(C): pass\n")
    (tmp_path / "order.py").write_text("class X: pass\nclass Y(X): pass\nclass Z(X, Y): pass\n")
    (tmp_path / "mine.py").write_text(
        dedent(
            '''
            import nnunetv2.training.nnUNetTrainer.nnUNetTrainer as module
            class Mine(module.nnUNetTrainer):
                """What it is for.

                More."""
                def __init__(self, plans, configuration, fold, dataset_json, device):
                    super().__init__(plans, configuration, fold, dataset_json, device)
                    self.num_epochs, self.name = 7, "x"
                    self.initial_lr: float = -1e-3
                    self._private = 1
                    self.computed = 3 * self.num_epochs
                    self.listed = [1]
                    other.num_epochs = 8
            '''
        )
    )
    found = found_trainers({EXTERNAL_TRAINERS: str(tmp_path)})

    assert list(found.unread) == [tmp_path / "broken.py"]
    assert {"A", "B", "C", "X", "Y", "Z"} & set(found.trainers) == set()
    assert found.settings("Mine") == {"num_epochs": 7, "name": "x", "initial_lr": -1e-3}
    assert found.classes["Mine"].summary == "What it is for."
