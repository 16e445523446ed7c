import errno
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.nnunet.bindings import (
    MAX_DIVERGED_ITERATIONS,
    apply_overrides,
    remove_torn_checkpoints,
    save_checkpoints_atomically,
    stop_when_diverged,
)
from nnunet_assets.nnunet.child import ChildFailure

torch = pytest.importorskip("torch")


class Trainer:
    """What the bindings see of nnU-Net's trainer, with a network of one layer."""

    def __init__(self):
        self.num_epochs = 1000
        self.num_iterations_per_epoch = 250
        self.initial_lr = 1e-2
        self.current_epoch = 7
        self.disable_checkpointing = False
        self.network = torch.nn.Linear(2, 2)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=self.initial_lr)
        self.losses = []

    def save_checkpoint(self, filename):
        if not self.disable_checkpointing:
            torch.save({"network_weights": self.network.state_dict(), "epoch": self.current_epoch}, filename)

    def train_step(self, batch):
        return {"loss": torch.tensor(self.losses.pop(0)).numpy()}


def epoch_in(path):
    return torch.load(path)["epoch"]


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


# --- saving -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_saved_whole_and_nothing_stays_beside_it(tmp_path):
    trainer = Trainer()
    save_checkpoints_atomically(trainer)
    trainer.save_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
    assert epoch_in(tmp_path / "checkpoint_latest.pth") == 7
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_latest.pth"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full"), RuntimeError("anything")])
def test_a_save_that_fails_leaves_the_old_checkpoint_whole(tmp_path, error):
    trainer = Trainer()

    def half_a_save(filename):
        with open(filename, "wb") as file:  # noqa: PTH123 - as nnU-Net does
            file.write(b"half")
        raise error

    place = tmp_path / "checkpoint_best.pth"
    trainer.save_checkpoint(str(place))
    trainer.save_checkpoint = half_a_save
    save_checkpoints_atomically(trainer)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        trainer.save_checkpoint(str(place))
    assert epoch_in(place) == 7
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("n_weights", [1, 1_000_000])  # torch words it differently where the file is small
def test_a_full_disk_is_known_behind_the_error_of_torch(tmp_path, n_weights):
    trainer = Trainer()
    trainer.save_checkpoint(str(tmp_path / "checkpoint_best.pth"))
    trainer.save_checkpoint = lambda _: torch.save(torch.zeros(n_weights), "/dev/full")
    save_checkpoints_atomically(trainer)
    with pytest.raises(ChildFailure, match=r"no space is left on the disk\. The last checkpoint stands") as caught:
        trainer.save_checkpoint(str(tmp_path / "checkpoint_best.pth"))
    assert caught.value.code == ExitCode.NO_SPACE
    assert epoch_in(tmp_path / "checkpoint_best.pth") == 7


def test_a_kill_in_the_middle_of_a_save_leaves_the_old_checkpoint_whole(tmp_path):
    trainer = Trainer()
    trainer.save_checkpoint(str(tmp_path / "checkpoint_best.pth"))
    code = """
import os, signal, sys
from types import SimpleNamespace
from nnunet_assets.nnunet.bindings import save_checkpoints_atomically
def half_a_save(filename):
    with open(filename, "wb") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
trainer = SimpleNamespace(save_checkpoint=half_a_save)
save_checkpoints_atomically(trainer)
trainer.save_checkpoint(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "checkpoint_best.pth"], check=False)
    assert done.returncode == -9
    assert epoch_in(tmp_path / "checkpoint_best.pth") == 7
    assert len(list(tmp_path.iterdir())) == 2  # the torn one is still there, under its own name
    remove_torn_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_best.pth"]


def test_what_a_kill_left_is_never_taken_for_a_checkpoint(tmp_path):
    trainer = Trainer()
    trainer.disable_checkpointing = True
    save_checkpoints_atomically(trainer)
    (tmp_path / ".checkpoint_final.pth.part").write_bytes(b"torn")
    trainer.save_checkpoint(str(tmp_path / "checkpoint_final.pth"))
    assert list(tmp_path.iterdir()) == []


def test_the_journal_is_waited_for_before_a_checkpoint_takes_its_place(tmp_path):
    trainer = Trainer()
    place = tmp_path / "checkpoint_latest.pth"
    there_then = []
    save_checkpoints_atomically(trainer, wait_for_journal=lambda: there_then.append(place.exists()))
    trainer.save_checkpoint(str(place))
    assert there_then == [False]
    assert place.exists()


def test_a_checkpoint_has_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        trainer = Trainer()
        save_checkpoints_atomically(trainer)
        trainer.save_checkpoint(str(tmp_path / "checkpoint_best.pth"))
    finally:
        os.umask(before)
    assert (tmp_path / "checkpoint_best.pth").stat().st_mode & 0o777 == 0o640


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


# --- on nnU-Net's own trainer -------------------------------------------------------------------------------------


def test_nnunets_trainer_has_what_is_bound_and_overridden():
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_assets.config import VariantConfig

    assert {"save_checkpoint", "train_step", "load_checkpoint", "run_training"} <= set(vars(nnUNetTrainer))
    overridable = set(VariantConfig.model_fields) - {"name"}
    source = nnUNetTrainer.__init__.__code__.co_names
    assert overridable <= set(source)


def test_the_journals_series_are_those_that_nnunet_logs():
    from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger

    from nnunet_assets.nnunet.journal_logger import CLASS_PREFIX, END, SERIES, START

    keys = set(LocalLogger().my_fantastic_logging)
    assert {*SERIES, START, END} | {CLASS_PREFIX.split("/")[0]} == keys
    seen = []
    meta = MetaLogger("unused", resume=False)
    meta.loggers.append(SimpleNamespace(log=lambda key, value, step: seen.append((key, value, step))))
    meta.log("dice_per_class_or_region", [0.5, 0.25], 3)
    assert seen == [(f"{CLASS_PREFIX}1", 0.5, 3), (f"{CLASS_PREFIX}2", 0.25, 3)]
