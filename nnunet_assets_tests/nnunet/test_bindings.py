import math
from types import SimpleNamespace

import pytest

from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.nnunet.bindings import MAX_DIVERGED_ITERATIONS, apply_overrides, stop_when_diverged
from nnunet_assets.nnunet.child import ChildFailure

torch = pytest.importorskip("torch")


class Trainer:
    """What the bindings see of nnU-Net's trainer, with a network of one layer."""

    def __init__(self):
        self.num_epochs = 1000
        self.num_iterations_per_epoch = 250
        self.initial_lr = 1e-2
        self.current_epoch = 7
        self.network = torch.nn.Linear(2, 2)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=self.initial_lr)
        self.losses = []

    def save_checkpoint(self, filename):
        torch.save({}, filename)

    def train_step(self, batch):
        return {"loss": torch.tensor(self.losses.pop(0)).numpy()}


# --- overrides ----------------------------------------------------------------------------------------------------


def test_an_override_is_set_on_the_trainer():
    trainer = Trainer()
    apply_overrides(trainer, {"num_epochs": 2, "initial_lr": 0.1})
    assert (trainer.num_epochs, trainer.initial_lr) == (2, 0.1)


def test_an_override_that_the_trainer_does_not_know_is_refused_with_what_is_near():
    with pytest.raises(
        ChildFailure, match=r"Trainer has no hyperparameter 'num_epoch'\. Did you mean num_epochs"
    ) as caught:
        apply_overrides(Trainer(), {"num_epoch": 2})
    assert caught.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(("name", "value"), [("num_epochs", 2.5), ("num_epochs", True), ("initial_lr", "0.1")])
def test_an_override_of_another_type_is_refused(name, value):
    with pytest.raises(ChildFailure, match=rf"Hyperparameter '{name}' of trainer Trainer is a .*; {value!r} is a"):
        apply_overrides(Trainer(), {name: value})


def test_a_whole_number_is_a_learning_rate_too():
    trainer = Trainer()
    apply_overrides(trainer, {"initial_lr": 1})
    assert trainer.initial_lr == 1


# --- divergence ---------------------------------------------------------------------------------------------------


def steps(trainer, losses):
    trainer.losses = list(losses)
    stop_when_diverged(trainer)
    return [float(trainer.train_step({})["loss"]) for _ in losses]


def test_finite_losses_pass_through_unchanged():
    assert steps(Trainer(), [0.5, -0.25, 1e30]) == [0.5, -0.25, float(torch.tensor(1e30))]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_stays_no_number_ends_the_training_with_what_to_do(loss):
    with pytest.raises(
        ChildFailure, match=r"20 iterations in a row in epoch 7 \(learning rate 0\.01\)\. Lower"
    ) as caught:
        steps(Trainer(), [0.5, *[loss] * MAX_DIVERGED_ITERATIONS])
    assert caught.value.code == ExitCode.DIVERGED


def test_a_few_overflowing_steps_are_no_divergence():
    once = [math.nan] * (MAX_DIVERGED_ITERATIONS - 1)
    assert len(steps(Trainer(), [*once, 0.5, *once])) == 2 * MAX_DIVERGED_ITERATIONS - 1


@pytest.mark.parametrize(("what", "value"), [("weight", math.nan), ("weight", math.inf), ("buffer", math.nan)])
def test_weights_that_are_no_numbers_are_never_saved_though_the_loss_was_one(tmp_path, what, value):
    trainer = Trainer()
    trainer.network = torch.nn.BatchNorm1d(2)
    trainer.network.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    stop_when_diverged(trainer)
    trainer.save_checkpoint(str(tmp_path / "good.pth"))
    assert (tmp_path / "good.pth").exists()
    with torch.no_grad():
        (trainer.network.weight if what == "weight" else trainer.network.running_mean)[1] = value
    with pytest.raises(ChildFailure, match=r"not numbers any more after epoch 7.*last checkpoint stands") as caught:
        trainer.save_checkpoint(str(tmp_path / "bad.pth"))
    assert caught.value.code == ExitCode.DIVERGED
    assert not (tmp_path / "bad.pth").exists()


# --- on nnU-Net's own trainer -------------------------------------------------------------------------------------


def test_nnunets_trainer_has_what_is_bound_and_overridden():
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_assets.config import RESULT_OPTIONS, VariantConfig

    bound = {"save_checkpoint", "train_step", "load_checkpoint", "run_training", "on_epoch_end", "on_train_start"}
    assert bound <= set(vars(nnUNetTrainer))
    overridable = set(VariantConfig.model_fields) - {"name", "hyperparameters", *RESULT_OPTIONS}
    source = nnUNetTrainer.__init__.__code__.co_names
    assert overridable <= set(source)


def test_the_journals_series_are_those_that_nnunet_logs():
    from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger

    from nnunet_assets.nnunet.epoch_logger import CLASS_PREFIX, END, SERIES, START

    keys = set(LocalLogger().my_fantastic_logging)
    assert {*SERIES, START, END} | {CLASS_PREFIX.split("/")[0]} == keys
    seen = []
    meta = MetaLogger("unused", resume=False)
    meta.loggers.append(SimpleNamespace(log=lambda key, value, step: seen.append((key, value, step))))
    meta.log("dice_per_class_or_region", [0.5, 0.25], 3)
    assert seen == [(f"{CLASS_PREFIX}1", 0.5, 3), (f"{CLASS_PREFIX}2", 0.25, 3)]
