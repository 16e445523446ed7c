"""What is measured of each training iteration, held against real trainers that compute it otherwise."""

import copy
import math
from typing import Any

import pytest

from nnunet_assets.core.fold.iterations import epoch_values
from nnunet_assets.core.training.spikes import LEAST
from nnunet_assets.nnunet.watching.iteration_meter import IterationMeter
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, batch, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer


def metered(trainer: Any) -> tuple[IterationMeter, RecordedProgress]:
    progress = RecordedProgress()
    trainer.on_train_start = lambda: None
    meter = IterationMeter(trainer, progress)
    trainer.on_train_start()
    return meter, progress


def norms_alone(trainer: Any, batches: list[dict[str, Any]]) -> list[float]:
    """Returns the norm of each batch's gradient, computed beside the trainer's own step, which goes on meanwhile."""
    import torch

    norms = []
    for one in batches:
        network = copy.deepcopy(trainer.network)
        trainer.loss(network(one["data"]), one["target"]).backward()
        gradients = [weights.grad.flatten() for weights in network.parameters() if weights.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        trainer.train_step(one)
    return norms


@pytest.mark.parametrize("name", ["nnUNetTrainer", "nnUNetTrainerSliceWise"])
def test_the_norm_is_that_of_the_gradient_before_it_is_clipped(tiny: TinyTrainers, name: str) -> None:
    trainer = tiny.initialized(name)
    batches = [batch(seed) for seed in range(2)]
    batches[1]["data"] *= 1e4
    meter, progress = metered(trainer)

    expected = norms_alone(trainer, batches)

    series = meter.take()
    assert series["gradient_norm"] == pytest.approx(expected, rel=1e-4)
    assert all(isinstance(loss, float) for loss in series["train_loss"])
    rates = series["learning_rate"]
    assert rates[-1] == trainer.optimizer.param_groups[0]["lr"]
    assert (rates[0] == rates[1]) == (name == "nnUNetTrainer")  # OneCycle changes it with each iteration
    assert progress.said == []


def test_a_trainer_that_does_not_clip_has_its_norm_all_the_same(tiny: TinyTrainers) -> None:
    trainer = tiny.initialized("nnUNetTrainer")

    def train_step(one: dict[str, Any]) -> dict[str, Any]:
        trainer.optimizer.zero_grad()
        loss = trainer.loss(trainer.network(one["data"]), one["target"])
        loss.backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return {"loss": loss.detach().numpy()}

    trainer.train_step = train_step
    meter, _ = metered(trainer)
    expected = norms_alone(trainer, [batch(0), batch(1)])
    assert meter.take()["gradient_norm"] == pytest.approx(expected, rel=1e-4)


def test_a_training_that_is_measured_ends_with_the_very_same_weights(tiny: TinyTrainers) -> None:
    import torch

    ends = []
    for is_measured in (False, True):
        trainer = tiny.initialized("nnUNetTrainer")
        if is_measured:
            metered(trainer)
        tiny.train(trainer)
        ends.append(trainer.network.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert torch.nn.utils.clip_grad_norm_.__module__.startswith("torch.")


def test_the_wait_for_a_batch_is_part_of_an_iterations_time_but_not_what_lies_between_epochs(
    tiny: TinyTrainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 101.0, 105.0, 107.0, 500.0, 503.0])
    monkeypatch.setattr("nnunet_assets.nnunet.watching.iteration_meter.time.perf_counter", lambda: next(clock))
    trainer = tiny.initialized("nnUNetTrainer")
    trainer.train_step = lambda _: {"loss": 0.5}
    meter, _ = metered(trainer)

    trainer.train_step({})
    trainer.train_step({})
    first = meter.take()
    trainer.train_step({})
    second = meter.take()

    assert (first["iteration_seconds"], first["wait_seconds"]) == ([1.0, 6.0], [None, 4.0])
    assert (second["iteration_seconds"], second["wait_seconds"]) == ([3.0], [None])
    assert second["gradient_norm"] == [None]


def test_a_spike_is_marked_and_told_with_its_cases(tiny: TinyTrainers) -> None:
    import torch
    from torch.nn import utils

    trainer = tiny.initialized("nnUNetTrainer")
    trainer.current_epoch = 3
    weights = torch.nn.Parameter(torch.zeros(1))

    def train_step(one: dict[str, Any]) -> dict[str, Any]:
        weights.grad = torch.tensor([one["norm"]])
        utils.clip_grad_norm_([weights], 12)
        return {"loss": 0.5}

    trainer.train_step = train_step
    meter, progress = metered(trainer)
    for norm in [2.0] * LEAST + [math.inf, 50.0, 2.0]:
        trainer.train_step({"norm": norm, "data": [0], "keys": ["case_a", "case_b"]})

    series = meter.take()
    assert series["gradient_spike"] == [None] * (LEAST + 1) + [50.0, None]
    values = epoch_values(series)
    assert (values["gradient_spikes"], values["gradient_overflows"]) == (1.0, 1.0)
    assert progress.said == [
        f"The gradient of training iteration {LEAST + 1} of epoch 3 is a spike: its norm is 50, 25 times the median of "
        "those before it, with patches of case_a, case_b."
    ]
