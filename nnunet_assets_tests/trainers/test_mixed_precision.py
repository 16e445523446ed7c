"""Mixed precision as nnU-Net has it on a GPU, played on a processor: its own step with a scaler, in bfloat16.

No GPU is where these tests run: that one computes in float16 there is nnU-Net's affair, and is not seen here.
"""

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.iterations import epoch_values
from nnunet_assets_tests.nnunet.trainer.test_parameters import DATASET_JSON, PLANS
from nnunet_assets_tests.nnunet.watching.test_iteration_meter import metered
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, batch, found_by_nnunet, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer, and of no GPU

OURS = [f"nnUNetTrainer{name}" for name in ("Tunable", "TunableBN", "SliceWise", "SliceWiseBN")]


def mixed(trainer: Any, scale: float = 1024.0) -> Any:
    """Has a trainer step as on a GPU, where nnU-Net itself enters autocast."""
    import torch

    step = trainer.train_step
    trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def train_step(one: dict[str, Any]) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return step(one)

    trainer.train_step = train_step
    return trainer


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", OURS)
def test_for_a_gpu_our_trainers_have_the_scaler_that_nnunets_has(name: str) -> None:
    import torch

    made = [
        found_by_nnunet(one)(copy.deepcopy(PLANS), "3d_fullres", 0, dict(DATASET_JSON), torch.device("cuda"))
        for one in ("nnUNetTrainer", name)
    ]
    scalers = [trainer.grad_scaler for trainer in made]
    assert isinstance(scalers[0], torch.amp.GradScaler)
    assert type(scalers[1]) is type(scalers[0])
    assert {trainer.device for trainer in made} == {torch.device("cuda", 0)}


@pytest.mark.parametrize("name", ["nnUNetTrainer", "nnUNetTrainerSliceWiseBN"])
def test_mixed_steps_are_near_those_in_full_precision_and_batchnorm_is_calibrated_in_full(
    tiny: TinyTrainers, name: str
) -> None:
    import torch

    series, precisions = [], set()
    for is_mixed in (False, True):
        trainer = tiny.initialized(name)
        meter, _ = metered(mixed(trainer) if is_mixed else trainer)
        if is_mixed:
            layer = next(one for one in trainer.network.modules() if isinstance(one, torch.nn.Conv3d))
            layer.register_forward_hook(lambda _, __, made: precisions.add((torch.is_grad_enabled(), made.dtype)))
        tiny.train(trainer, range(1))
        series.append(meter.take())
        assert {weights.dtype for weights in trainer.network.parameters()} == {torch.float32}

    # Passes that train, and of BatchNorm those that calibrate it.
    calibrations = {(False, torch.float32)} if name.endswith("BN") else set()
    assert precisions == {(True, torch.bfloat16)} | calibrations
    full, short = series
    assert short["train_loss"] == pytest.approx(full["train_loss"], rel=0.02)
    assert short["train_loss"] != full["train_loss"]
    # The norm is that of the gradient as it is, not as it was scaled.
    assert short["gradient_norm"] == pytest.approx(full["gradient_norm"], rel=0.2)


def test_a_step_that_overflows_changes_no_weight_and_the_scale_goes_into_the_checkpoint(
    tiny: TinyTrainers, tmp_path: Path
) -> None:
    import torch

    trainer = mixed(tiny.initialized("nnUNetTrainerSliceWise"), scale=2.0**127)
    loss = trainer.loss
    trainer.loss = lambda *given: 1e6 * loss(*given)  # a gradient too large for its scale, in bfloat16 too
    before = copy.deepcopy(trainer.network.state_dict())
    meter, progress = metered(trainer)

    assert math.isfinite(trainer.train_step(batch(0))["loss"])

    assert all(torch.equal(before[name], weights) for name, weights in trainer.network.state_dict().items())
    assert trainer.grad_scaler.get_scale() == 2.0**126
    assert epoch_values(meter.take())["gradient_overflows"] == 1
    assert progress.said == []  # mixed precision finds its scale so, and no gradient has a spike
    trainer.save_checkpoint(file := str(tmp_path / "checkpoint.pth"))
    resumed = mixed(tiny.initialized("nnUNetTrainerSliceWise"))
    resumed.load_checkpoint(file)
    assert resumed.grad_scaler.get_scale() == 2.0**126
