from typing import Any

import pytest

from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.training_rules import check_options, contradictions
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.errors import ConfigError

ALLOWED = [
    {},
    {"device": "cuda", "num_gpus": 8},
    # What `auto` is shows itself where the fold trains.
    {"device": "auto", "num_gpus": 8},
    {"validation_only": True, "val_best": True, "npz": True},
    # The settings by which a fold was trained name it.
    {"validation_only": True, "seed": 1, "patience": 10, "pretrained_weights": "/a.pth", "deterministic": True},
    {"continue_training": True, "seed": 1},
    {"retrain": True, "pretrained_weights": "/a.pth"},
    {"watch": Watch(gradients=True, batches=True, panels=4, comment="All that needs no TensorBoard.")},
    {"tensorboard": True, "watch": Watch(histograms_every=5, tb_prefix="night")},
]
CONTRADICTIONS = [
    ({"continue_training": True, "validation_only": True}, "--c and --val cannot be set together, as in nnU-Net"),
    ({"continue_training": True, "pretrained_weights": "/a.pth"}, "--c cannot be set together with pretrained weights"),
    ({"continue_training": True, "retrain": True}, "--c and --retrain cannot"),
    (
        {"val_best": True, "disable_checkpointing": True},
        "val_best and disable_checkpointing cannot be set together, as",
    ),
    ({"restore_best": True, "disable_checkpointing": True}, "restore_best and disable_checkpointing cannot"),
    ({"checkpoint_every": 50, "disable_checkpointing": True}, "checkpoint_every and disable_checkpointing cannot"),
    (
        {"num_gpus": 2, "device": "cpu"},
        "num_gpus is 2, and the device is 'cpu': nnU-Net trains on several GPUs with CU",
    ),
    ({"num_gpus": 2, "device": "mps"}, "num_gpus is 2, and the device is 'mps'"),
    ({"num_gpus": 2, "deterministic": True}, "num_gpus is 2, and deterministic is set, which needs one process"),
    (
        {"watch": Watch(histograms_every=5)},
        "watch asks for histograms or for a tb_prefix, which TensorBoard alone shows",
    ),
    ({"watch": Watch(tb_prefix="night")}, "watch asks for histograms or for a tb_prefix"),
    ({"validation_only": True, "retrain": True}, "validation_only and retrain cannot be set together"),
]


def found(asked: dict[str, Any]) -> list[str]:
    how = {"device": "auto"} | {k: v for k, v in asked.items() if k in ("device", "retrain", "continue_training")}
    options = TrainingOptions(**{k: v for k, v in asked.items() if k not in how})
    return contradictions(options, **how)


@pytest.mark.parametrize("asked", ALLOWED)
def test_what_goes_together_is_not_refused(asked: dict[str, Any]) -> None:
    assert found(asked) == []


@pytest.mark.parametrize(("asked", "sentence"), CONTRADICTIONS)
def test_what_contradicts_is_named_with_the_rule(asked: dict[str, Any], sentence: str) -> None:
    (only,) = found(asked)
    assert only.startswith(sentence)


@pytest.mark.parametrize(("asked", "_"), CONTRADICTIONS)
def test_either_of_two_that_contradict_may_be_asked_alone(asked: dict[str, Any], _: str) -> None:
    for left_out in asked:
        assert found({name: value for name, value in asked.items() if name != left_out}) == []


def test_all_contradictions_are_said_at_once() -> None:
    options = TrainingOptions(num_gpus=2, deterministic=True, validation_only=True)
    # What is not asked for contradicts nothing.
    check_options(TrainingOptions(validation_only=True), device="cpu")
    with pytest.raises(ConfigError, match=r"the device is 'cpu'.*\n.*deterministic is set.*\n.*retrain cannot be set"):
        check_options(options, device="cpu", retrain=True)
