"""Whole trainings by nnU-Net's own loop that are watched, killed and resumed: what is there afterwards, each once."""

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.iterations import batches_path
from nnunet_assets.core.fold.journal import journal_path, read_records, truncate_after_epoch
from nnunet_assets.core.training.panel_files import panel_files
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.watching.tensorboard_logger import BATCHES, TensorBoardLogger, tensorboard_folder
from nnunet_assets.nnunet.watching.watcher import Watcher
from nnunet_assets_tests.nnunet.watching.test_fixed_slices import Cases
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.trainers.tiny_trainers import N_ITERATIONS, TinyTrainers, batch, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer

LABELS = ["organ", "lesion"]
ALL = Watch(gradients=True, batches=True, histograms_every=2, panels=2, panels_every=2, comment="A first try.")
BATCH_SERIES = {f"batch/{name}" for name in ("train_loss", "learning_rate", "gradient_norm", "iteration_seconds")}


class KilledError(Exception):
    """Stands for the end of the process."""


def train(
    trainer: Any,
    folder: Path,
    watch: Watch,
    *,
    first: int = 0,
    killed_in: int | None = None,
    logged: dict[str, list[Any]] | None = None,
) -> RecordedProgress:
    """Trains from an epoch on, watched; `killed_in` ends it before that epoch's end.

    Args:
        logged: What nnU-Net's own logger has of the epochs before.
    """
    folder.mkdir(exist_ok=True, parents=True)
    trainer.output_folder, trainer.current_epoch, trainer.num_val_iterations_per_epoch = str(folder), first, 1
    trainer.dataset_class, trainer.do_split = Cases, lambda: ([], ["case_1", "case_2", "case_3"])
    trainer.dataloader_train = ({**batch(number), "keys": ["a", "b"]} for number in range(1000))
    trainer.dataloader_val = (batch(2000 + number) for number in range(1000))
    for step in ("on_train_start", "on_train_end"):
        setattr(trainer, step, lambda: None)
    trainer.save_checkpoint = trainer.logger.plot_progress_png = lambda _: None
    if logged:
        trainer.logger.load_checkpoint({name: values[:first] for name, values in logged.items()})
    if journal_path(folder).exists():
        truncate_after_epoch(journal_path(folder), first)
    journal_path(folder).parent.mkdir(exist_ok=True)
    journal = JournalLogger(journal_path(folder), LABELS, lambda *_: None)
    board = TensorBoardLogger(folder, LABELS, first, prefix=watch.tb_prefix, n_iterations=N_ITERATIONS)
    trainer.logger.loggers = [journal, board]
    progress = RecordedProgress()
    watcher = Watcher(trainer, watch, journal=journal, board=board, progress=progress)
    end_epoch = trainer.on_epoch_end

    def on_epoch_end() -> None:
        if trainer.current_epoch == killed_in:
            raise KilledError
        end_epoch()

    trainer.on_epoch_end = on_epoch_end
    with suppress(KilledError):
        trainer.run_training()
    watcher.wait()
    watcher.close()
    assert journal.close() == board.close() == 0
    return progress


def shown(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0, "scalars": 0})
    events.Reload()
    return events


def steps(points: Any) -> list[int]:
    return [point.step for point in points]


def epochs_of(folder: Path) -> list[Any]:
    return [record for record in read_records(journal_path(folder)) if record.kind == "epoch"]


@pytest.fixture(scope="module")
def whole(tiny: TinyTrainers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fold of 4 epochs of 3 iterations with everything watched, killed in its last and resumed from its first."""
    folder: Path = tmp_path_factory.mktemp("watched") / "fold_0"
    first = tiny.initialized("nnUNetTrainer", num_epochs=4)
    train(first, folder, ALL, killed_in=3)
    again = tiny.initialized("nnUNetTrainer", num_epochs=4)
    logged = first.logger.get_checkpoint()
    train(again, folder, replace(ALL, tb_prefix="second"), first=1, logged=logged)
    return folder


def test_each_epoch_has_its_gradient_and_its_times_once_in_the_journal(whole: Path) -> None:
    epochs = epochs_of(whole)
    assert [record.epoch for record in epochs] == [0, 1, 2, 3]
    for record in epochs:
        assert 0 < record.values["gradient_norm_mean"] <= record.values["gradient_norm_max"]
        assert record.values["gradient_spikes"] == record.values["gradient_overflows"] == 0
        assert 0 < record.values["wait_seconds"] < record.values["iteration_seconds"]


def test_each_iteration_is_there_once_and_its_losses_make_the_epochs(whole: Path) -> None:
    records = list(read_records(batches_path(whole)))
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    for record, epoch in zip(records, epochs_of(whole), strict=True):
        losses = record.values["train_loss"]
        assert len(losses) == N_ITERATIONS
        assert math.fsum(losses) / N_ITERATIONS == pytest.approx(epoch.values["train_loss"], rel=1e-5)


def test_tensorboard_shows_each_epoch_and_iteration_once_under_the_later_name(whole: Path) -> None:
    folder = tensorboard_folder(whole)
    assert [path.name for path in folder.iterdir()] == ["second"]
    events = shown(folder / "second")
    for series in ("train_loss", "gradient_norm_mean", "gradient_spikes", "iteration_seconds", "epoch_seconds"):
        assert steps(events.Scalars(series)) == [0, 1, 2, 3], series
    batches = shown(folder / "second" / BATCHES)
    assert set(batches.Tags()["scalars"]) == {*BATCH_SERIES, "batch/wait_seconds"}
    for series in BATCH_SERIES:
        assert steps(batches.Scalars(series)) == list(range(4 * N_ITERATIONS)), series


def test_histograms_are_of_every_weight_and_its_gradient_in_the_epochs_asked_for(
    whole: Path, tiny: TinyTrainers
) -> None:
    events = shown(tensorboard_folder(whole) / "second")
    names = [name.replace(".", "/") for name, _ in tiny.initialized("nnUNetTrainer").network.named_parameters()]
    assert {f"weights/{name}" for name in names} <= set(events.Tags()["histograms"])
    for kind in ("weights", "gradients"):
        assert steps(events.Histograms(f"{kind}/{names[0]}")) == [0, 2, 3]


def test_panels_are_there_for_each_case_and_as_one_picture_an_epoch(whole: Path) -> None:
    from PIL import Image

    events = shown(tensorboard_folder(whole) / "second")
    assert set(events.Tags()["images"]) == {"panels/case_1", "panels/case_2"}
    assert steps(events.Images("panels/case_1")) == [0, 2, 3]
    files = panel_files(whole)
    assert list(files) == [0, 2, 3]
    with Image.open(files[3]) as picture:
        assert picture.width > 4 * picture.height / 3


def test_the_comment_is_a_text_of_the_run(whole: Path) -> None:
    events = shown(tensorboard_folder(whole) / "second")
    (text,) = events.Tensors("comment/text_summary")
    assert text.tensor_proto.string_val == [b"A first try."]


@pytest.mark.parametrize("name", ["nnUNetTrainer", pytest.param("nnUNetTrainerSliceWiseBN", marks=pytest.mark.faults)])
def test_a_training_that_is_watched_ends_with_the_very_same_weights(
    tiny: TinyTrainers, tmp_path: Path, name: str
) -> None:
    import torch

    weights = []
    for watch in (Watch(), ALL):
        trainer = tiny.initialized(name)
        torch.manual_seed(1)
        train(trainer, tmp_path / str(watch.steps), watch)
        weights.append(trainer.network.state_dict())
    assert all(torch.equal(weights[0][part], weights[1][part]) for part in weights[0])


def test_where_nothing_is_asked_for_nothing_is_there(tiny: TinyTrainers, tmp_path: Path) -> None:
    progress = train(tiny.initialized("nnUNetTrainer"), tmp_path, Watch())
    assert {path.name for path in journal_path(tmp_path).parent.iterdir()} == {"journal.jsonl", "tensorboard"}
    assert "gradient_norm_mean" not in epochs_of(tmp_path)[0].values
    assert progress.said == progress.warned == []


def test_what_cannot_be_watched_is_told_once_and_the_training_goes_on(
    tiny: TinyTrainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cases, "load_case", lambda *_: 1 / 0)
    progress = train(tiny.initialized("nnUNetTrainer"), tmp_path, Watch(gradients=True, panels=1, panels_every=1))
    assert progress.warned == ["The panels cannot be watched (ZeroDivisionError: division by zero)."]
    assert [record.epoch for record in epochs_of(tmp_path)] == [0, 1]
    assert "gradient_norm_mean" in epochs_of(tmp_path)[1].values
    assert panel_files(tmp_path) == {}
