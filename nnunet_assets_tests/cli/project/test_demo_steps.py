"""What is seen of the demo's steps while they go on."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from nnunet_assets.cli.project.demo_steps import BarFace, Steps, shown_steps
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.settings import Settings

CONFIG = ExperimentConfig(dataset="Dataset952_Phantom", configuration="3d_fullres")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def train(settings: Settings) -> None:
    """Leaves in fold_0 what the process of a fold writes up to its first predictions."""
    folder = CONFIG.identity.fold_folder(settings.roots, "fold_0")
    journal = journal_path(folder)
    journal.parent.mkdir(parents=True)
    ValidationWork({"a": 1, "b": 1}, 4.0, "cpu").write(folder)
    append_record(journal, "start", {"params": {"trainer": {"num_epochs": 2, "num_iterations_per_epoch": 3}}})
    for epoch in range(2):
        append_record(journal, "epoch", {"val_loss": 0.5, "epoch_seconds": 8.0}, epoch)
    (folder / "validation").mkdir()
    (folder / "validation" / "a.nii.gz").touch()


def test_a_log_has_lines_of_every_step_and_of_what_a_fold_writes(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with shown_steps(Console(file=io.StringIO()), settings, CONFIG) as step:
        step("preparation")
        step("fold_0")
        train(settings)
        step("summary and tables")
    assert capfd.readouterr().out.splitlines() == [
        "preparation: begins.",
        "preparation: done after 0:00.",
        "fold_0: begins.",
        "fold_0: The training begins: 2 epochs of 3 iterations.",
        "fold_0: Epoch 0 (1 of 2): val loss 0.5000, 8.0 s, about 0:12 left with the validation",
        "fold_0: Epoch 1 (2 of 2): val loss 0.5000, 8.0 s, about 0:04 left with the validation",
        "fold_0: Predicting and scoring 2 validation cases, which may take 0:04.",
        "fold_0: done after 0:00.",
        "summary and tables: begins.",
        "summary and tables: done after 0:00.",
    ]


def test_a_bar_shows_epochs_then_cases_and_what_came_out(settings: Settings) -> None:
    with Bars(console=Console(file=io.StringIO())) as bars:
        face = BarFace(bars)
        steps = Steps(face, settings, CONFIG)
        steps("fold_0")
        (task,) = bars.tasks
        face.epoch(TrainedEpoch(4, 20, {"epoch_seconds": 2.0}, 9.0))
        assert (task.completed, task.total, task.fields["note"]) == (5, 20, "5 of 20 epochs, 0:39 left")
        face.step("validation cases predicted", 1, 4)
        assert (task.completed, task.total, task.fields["note"]) == (1, 4, "1 of 4 validated")
        steps.finish()
        assert task.finished


def test_a_terminal_gets_bars_and_no_lines(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    drawn = io.StringIO()
    with shown_steps(Console(file=drawn, force_terminal=True, width=80), settings, CONFIG) as step:
        step("preparation")
    assert "preparation" in drawn.getvalue()
    assert capfd.readouterr() == ("", "")
