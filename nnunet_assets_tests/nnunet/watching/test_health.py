"""Broken batches of real trainers: which case it was, and in which iteration."""

import math
from typing import Any

import pytest

from nnunet_assets.nnunet.watching.health import MOST_TOLD, tell_of_broken_batches
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, batch, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer


@pytest.fixture
def watched(tiny: TinyTrainers) -> Any:
    """A trainer in epoch 7, and what it says."""
    trainer = tiny.initialized("nnUNetTrainer")
    trainer.current_epoch = 7
    trainer.on_train_start = lambda: None
    progress = RecordedProgress()
    tell_of_broken_batches(trainer, progress)
    trainer.on_train_start()
    trainer.said = progress
    return trainer


def of_cases(seed: int = 0) -> dict[str, Any]:
    return {**batch(seed), "keys": ["case_a", "case_b"]}


def test_a_good_training_has_nothing_told_of(watched: Any) -> None:
    for seed in range(3):
        watched.train_step(of_cases(seed))
    watched.network.eval()
    watched.validation_step(of_cases())
    assert watched.said.warned == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_intensities_that_are_no_numbers_are_told_with_case_and_iteration(watched: Any, value: float) -> None:
    watched.train_step(of_cases())
    broken = of_cases(1)
    broken["data"][1, 0, 0, 0, 0] = value

    watched.train_step(broken)

    (said,) = watched.said.warned
    assert said.startswith("The loss of training iteration 1 of epoch 7 is not a number: ")
    assert "case_b has intensities that are no numbers" in said
    assert "case_b has an output that is no number" in said
    assert "case_a has intensities" not in said


def test_outputs_of_good_images_are_told_too(watched: Any) -> None:
    import torch

    with torch.no_grad():
        next(watched.network.parameters()).fill_(math.nan)
    watched.train_step(of_cases())
    assert "case_a has an output that is no number, case_b has an output" in watched.said.warned[0]


def test_a_validation_has_iterations_of_its_own_and_each_epoch_begins_anew(watched: Any) -> None:
    watched.train_step(of_cases())
    watched.network.eval()
    broken = of_cases()
    broken["data"][0] = math.nan
    watched.validation_step(broken)
    watched.validation_step(of_cases())
    watched.current_epoch = 8
    watched.validation_step({**broken, "data": broken["data"].clone()})

    starts = [said.partition(" is not a number")[0] for said in watched.said.warned]
    assert starts == ["The loss of validation iteration 0 of epoch 7", "The loss of validation iteration 0 of epoch 8"]


def test_of_many_broken_batches_the_first_few_are_told_of(watched: Any) -> None:
    broken = of_cases()
    broken["data"][:] = math.nan
    for _ in range(MOST_TOLD + 3):
        watched.train_step(broken)
    assert len(watched.said.warned) == MOST_TOLD
    assert watched.said.warned[-1].endswith("No further one is told of.")


@pytest.mark.parametrize("label", [9.0, 3.0])
def test_labels_that_the_dataset_does_not_have_end_the_training_by_name(watched: Any, label: float) -> None:
    watched.train_step(of_cases())
    broken = of_cases(1)
    for target in broken["target"]:
        target[0, 0, 0, 0, 0] = label

    with pytest.raises(ChildFailure) as failed:
        watched.train_step(broken)

    assert failed.value.code == ExitCode.BAD_INPUT
    sentence = str(failed.value)
    assert sentence.startswith("The training iteration 1 of epoch 7 failed: case_a has the label ")
    assert f"the label {label:g}, which the dataset does not have (" in sentence
    assert "case_b" not in sentence


def test_a_loader_of_somebodys_own_that_names_no_case_has_numbers_told(watched: Any) -> None:
    broken = batch(0)
    broken["data"][1] = math.nan
    watched.train_step(broken)
    assert "patch 1 has intensities that are no numbers" in watched.said.warned[0]


@pytest.mark.parametrize("odd", [{"loss": math.nan}, {"loss": math.nan, "data": None}, {}])
def test_a_step_or_a_batch_of_another_form_trains_on(tiny: TinyTrainers, odd: dict[str, Any]) -> None:
    trainer, progress = tiny.initialized("nnUNetTrainer"), RecordedProgress()
    trainer.on_train_start = lambda: None
    trainer.train_step = lambda _: odd
    tell_of_broken_batches(trainer, progress)
    trainer.on_train_start()
    assert trainer.train_step({"data": odd.get("data", "no tensor")}) is odd
    told = [f"The loss of training iteration 0 of epoch {trainer.current_epoch} is not a number."]
    assert progress.warned == (told if "loss" in odd else [])


@pytest.mark.parametrize("error", [RuntimeError("something else"), MemoryError("full"), KeyError("data")])
def test_other_failures_pass_as_they_are(tiny: TinyTrainers, error: Exception) -> None:
    trainer = tiny.initialized("nnUNetTrainer")

    def fail(_: object) -> dict[str, Any]:
        raise error

    trainer.train_step = fail
    tell_of_broken_batches(trainer, RecordedProgress())
    with pytest.raises(type(error)) as raised:
        trainer.train_step(of_cases())
    assert raised.value is error


def test_nothing_of_a_step_is_kept_behind_it(watched: Any) -> None:
    import weakref

    outputs = []
    watched.network.register_forward_hook(lambda *parts: outputs.append(weakref.ref(parts[-1][0])))
    watched.train_step(of_cases())
    assert len(outputs) == 1
    assert outputs[0]() is None
