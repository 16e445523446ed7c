import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.nnunet.trainer.bindings import (
    MAX_DIVERGED_ITERATIONS,
    apply_overrides,
    choose_best_among_defined,
    stop_when_diverged,
)
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.late_imports import Late

torch = Late("torch")


class Trainer:
    """What the bindings see of nnU-Net's trainer, with a network of one layer."""

    def __init__(self) -> None:
        self.num_epochs = 1000
        self.num_iterations_per_epoch = 250
        self.initial_lr = 1e-2
        self.current_epoch = 7
        self.network = torch.nn.Linear(2, 2)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=self.initial_lr)
        self.losses: list[float] = []

    def save_checkpoint(self, filename: Any) -> None:
        torch.save({}, filename)

    def train_step(self, batch: Any) -> Any:
        return {"loss": torch.tensor(self.losses.pop(0)).numpy()}


def new_trainer() -> Any:
    return Trainer()


# --- overrides ----------------------------------------------------------------------------------------------------


def test_an_override_is_set_on_the_trainer() -> None:
    trainer: Any = Trainer()
    apply_overrides(trainer, {"num_epochs": 2, "initial_lr": 0.1})
    assert (trainer.num_epochs, trainer.initial_lr) == (2, 0.1)


def test_an_override_that_the_trainer_does_not_know_is_refused_with_what_is_near() -> None:
    with pytest.raises(
        ChildFailure, match=r"Trainer has no hyperparameter 'num_epoch'\. Did you mean num_epochs"
    ) as caught:
        apply_overrides(new_trainer(), {"num_epoch": 2})
    assert caught.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(("name", "value"), [("num_epochs", 2.5), ("num_epochs", True), ("initial_lr", "0.1")])
def test_an_override_of_another_type_is_refused(name: str, value: float | bool | str) -> None:
    with pytest.raises(ChildFailure, match=rf"Hyperparameter '{name}' of trainer Trainer is a .*; {value!r} is a"):
        apply_overrides(new_trainer(), {name: value})


def test_a_whole_number_is_a_learning_rate_too() -> None:
    trainer: Any = Trainer()
    apply_overrides(trainer, {"initial_lr": 1})
    assert trainer.initial_lr == 1


# --- divergence ---------------------------------------------------------------------------------------------------


def steps(trainer: Any, losses: Any) -> Any:
    trainer.losses = list(losses)
    stop_when_diverged(trainer)
    return [float(trainer.train_step({})["loss"]) for _ in losses]


def test_finite_losses_pass_through_unchanged() -> None:
    assert steps(Trainer(), [0.5, -0.25, 1e30]) == [0.5, -0.25, float(torch.tensor(1e30))]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_stays_no_number_ends_the_training_with_what_to_do(loss: Any) -> None:
    with pytest.raises(
        ChildFailure, match=r"20 iterations in a row in epoch 7 \(learning rate 0\.01\)\. Lower"
    ) as caught:
        steps(Trainer(), [0.5, *[loss] * MAX_DIVERGED_ITERATIONS])
    assert caught.value.code == ExitCode.DIVERGED


def test_a_few_overflowing_steps_are_no_divergence() -> None:
    once = [math.nan] * (MAX_DIVERGED_ITERATIONS - 1)
    assert len(steps(Trainer(), [*once, 0.5, *once])) == 2 * MAX_DIVERGED_ITERATIONS - 1


@pytest.mark.parametrize(("what", "value"), [("weight", math.nan), ("weight", math.inf), ("buffer", math.nan)])
def test_weights_that_are_no_numbers_are_never_saved_though_the_loss_was_one(
    tmp_path: Path, what: str, value: Any
) -> None:
    trainer: Any = Trainer()
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


# --- epochs without a pseudo Dice, in nnU-Net's own logger and end of an epoch -------------------------------------


class Epochs:
    """nnU-Net's own logger and its own end of an epoch, without a network."""

    def __init__(self, *, is_bound: Any, checkpoint: Any = None) -> None:
        from nnunetv2.training.logging.nnunet_logger import MetaLogger

        self.logger = MetaLogger("unused", resume=False)
        self.logger.plot_progress_png = lambda folder: None
        self.output_folder, self.local_rank, self.save_every, self.num_epochs = "", 0, 10_000, 10_000
        self.current_epoch, self._best_ema = 0, None
        self.best: dict[Any, Any] = {}
        self.printed: list[str] = []
        if is_bound:
            choose_best_among_defined(cast(Any, self))
        if checkpoint:
            self.load_checkpoint(checkpoint)

    def print_to_log_file(self, *texts: Any) -> None:
        if not str(texts[0]).startswith("Epoch time"):
            self.printed.append(" ".join(map(str, texts)))

    def save_checkpoint(self, filename: Any) -> None:
        assert filename == "checkpoint_best.pth"
        self.best = self.checkpoint()

    def checkpoint(self) -> Any:
        logging = {key: list(values) for key, values in self.logger.get_checkpoint().items()}
        logging["epoch_end_timestamps"] = [2.0] * len(logging["epoch_end_timestamps"])
        return {"logging": logging, "_best_ema": self._best_ema, "current_epoch": self.current_epoch + 1}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.logger.load_checkpoint({key: list(values) for key, values in checkpoint["logging"].items()})
        self._best_ema, self.current_epoch = checkpoint["_best_ema"], checkpoint["current_epoch"]

    def train(self, pseudo_dice: Any) -> Any:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        for value in pseudo_dice:
            self.logger.log("epoch_start_timestamps", 1.0, self.current_epoch)
            for key in ("train_losses", "val_losses", "lrs"):
                self.logger.log(key, 0.5, self.current_epoch)
            self.logger.log("mean_fg_dice", value, self.current_epoch)
            self.logger.log("dice_per_class_or_region", [value], self.current_epoch)
            nnUNetTrainer.on_epoch_end(self)
        return self

    @property
    def ema(self) -> Any:
        return [float(value) for value in self.logger.get_value("ema_fg_dice", step=None)]


PSEUDO_DICE = st.floats(min_value=0, max_value=1)
UNDEFINED = st.one_of(PSEUDO_DICE, st.just(math.nan))


@given(st.lists(PSEUDO_DICE, min_size=1, max_size=20))
def test_where_every_epoch_has_a_pseudo_dice_everything_is_nnunets_own_to_the_last_bit(pseudo_dice: Any) -> None:
    plain, bound = (Epochs(is_bound=is_bound).train(pseudo_dice) for is_bound in (False, True))
    assert bound.checkpoint() == plain.checkpoint()
    assert bound.best == plain.best
    assert bound.printed == plain.printed


@given(st.lists(UNDEFINED, min_size=1, max_size=20), st.integers(0, 20))
def test_an_epoch_without_one_changes_nothing_for_the_others_also_across_a_resume(
    pseudo_dice: Any, n_before: Any
) -> None:
    bound = Epochs(is_bound=True).train(pseudo_dice[:n_before])
    if 0 < n_before < len(pseudo_dice):
        bound.current_epoch -= 1  # nnU-Net saves before it counts
        resumed = Epochs(is_bound=True, checkpoint=bound.checkpoint())
        resumed.best = bound.best
        bound = resumed
    bound.train(pseudo_dice[n_before:])
    defined = [epoch for epoch, value in enumerate(pseudo_dice) if not math.isnan(value)]
    assert [math.isnan(value) for value in bound.ema] == [math.isnan(value) for value in pseudo_dice]
    plain = Epochs(is_bound=False).train([pseudo_dice[epoch] for epoch in defined])
    assert [bound.ema[epoch] for epoch in defined] == plain.ema
    if defined:
        assert bound.best["current_epoch"] == defined[plain.best["current_epoch"] - 1] + 1
        assert bound._best_ema == plain._best_ema
    else:
        assert bound.best["current_epoch"] == len(pseudo_dice)


def test_plain_nnunet_keeps_an_early_best_for_ever_and_its_checkpoint_is_healed_by_going_on() -> None:
    plain = Epochs(is_bound=False).train([0.2, math.nan, 0.9])
    assert (plain.best["current_epoch"], plain.ema[1:]) == (1, [pytest.approx(math.nan, nan_ok=True)] * 2)
    plain.current_epoch -= 1
    bound = Epochs(is_bound=True, checkpoint=plain.checkpoint()).train([0.9])
    assert bound.best["current_epoch"] == 4
    assert bound.ema[-1] == pytest.approx((0.2 * 0.9 + 0.09) * 0.9 + 0.09)


def test_one_that_plain_nnunet_left_with_an_undefined_best_takes_a_defined_one() -> None:
    plain = Epochs(is_bound=False).train([math.nan, 0.9])
    assert (plain.best["current_epoch"], math.isnan(plain._best_ema)) == (1, True)
    plain.current_epoch -= 1
    assert Epochs(is_bound=True, checkpoint=plain.checkpoint()).train([0.1]).best["current_epoch"] == 3


def test_an_epoch_without_one_is_said_in_nnunets_log() -> None:
    printed = Epochs(is_bound=True).train([0.5, math.nan]).printed
    assert [line for line in printed if line.startswith("Epoch 1 has no pseudo Dice")] != []


# --- on nnU-Net's own trainer -------------------------------------------------------------------------------------


def test_nnunets_trainer_has_what_is_bound_and_overridden() -> None:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_assets.declarations.sections.variant_config import RESULT_OPTIONS, SIZES, VariantConfig

    bound = {"save_checkpoint", "train_step", "load_checkpoint", "run_training", "on_epoch_end", "on_train_start"}
    assert bound <= set(vars(nnUNetTrainer))
    overridable = set(VariantConfig.model_fields) - {"name", "hyperparameters", "continues", *SIZES, *RESULT_OPTIONS}
    source = nnUNetTrainer.__init__.__code__.co_names
    assert overridable <= set(source)


def test_the_journals_series_are_those_that_nnunet_logs() -> None:
    from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger

    from nnunet_assets.nnunet.watching.epoch_logger import CLASS_PREFIX, END, SERIES, START

    keys = set(LocalLogger().my_fantastic_logging)
    assert {*SERIES, START, END} | {CLASS_PREFIX.split("/")[0]} == keys
    seen = []
    meta = MetaLogger("unused", resume=False)
    meta.loggers.append(SimpleNamespace(log=lambda key, value, step: seen.append((key, value, step))))
    meta.log("dice_per_class_or_region", [0.5, 0.25], 3)
    assert seen == [(f"{CLASS_PREFIX}1", 0.5, 3), (f"{CLASS_PREFIX}2", 0.25, 3)]
