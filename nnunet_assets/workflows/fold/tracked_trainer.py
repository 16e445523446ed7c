"""Tracking for those who call nnU-Net from Python: a trainer class that keeps nnU-Net's name and logs to MLflow."""

import atexit
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nnunet_assets.core.files.layout import OWN_FOLDER, REQUEST_FILE, Experiment
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records, truncate_after_epoch
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import ConfigError, FoldError, NnunetAssetsError, value_errors_too
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.parameters import training_parameters
from nnunet_assets.nnunet.trainer.trainer import label_names
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.training.validation_series import validation_series
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.runs.run_names import fold_run_name
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD, experiment_tags
from nnunet_assets.workflows.fold.tracker_config import TrackerConfig

Trainer = TypeVar("Trainer")


TRACKED = "_nnunet_assets_tracked"
"""Attribute of a tracked class: the class that it was made of."""


def create_tracked_trainer(base: type[Trainer], config: TrackerConfig | None = None) -> type[Trainer]:
    """Returns a trainer class that trains as `base` does and logs to MLflow; name and arguments are those of `base`.

    Its folder, its checkpoints and all that nnU-Net does with them are therefore those of `base`. The run goes where
    `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say, as for a fold of a project; it has every epoch, and the
    scores of the validation cases once `perform_actual_validation` was called. A server that is down never stops a
    training: what waits lies in the fold's folder, and `nnunet-assets sync` sends it. On several GPUs only rank 0 logs.

    A class that is tracked already is returned as it is. Where nothing is to be tracked (`NNUNET_TRACKER_ENABLED=0`),
    that which is not is returned.

    Args:
        base: nnUNetTrainer, or a class derived from it.
        config: Where to, and whether; None: as the environment says.

    Raises:
        TypeError: It is no class.
        ConfigError: It is no trainer of nnU-Net; a `ValueError` too.
        FoldError: When the training starts in the folder of a fold that a project of this package trains.
    """
    if not isinstance(base, type):
        raise TypeError(f"create_tracked_trainer takes a class, such as nnUNetTrainer, and got {base!r}.")
    with value_errors_too():
        if not callable(getattr(base, "run_training", None)):
            raise ConfigError(
                f"{base.__name__} is no trainer of nnU-Net: it has no run_training. Give nnUNetTrainer, or a class "
                "that derives from it."
            )
        chosen = config or TrackerConfig.from_env()
    if not chosen.enabled:
        untracked: type[Trainer] = vars(base).get(TRACKED, base)
        return untracked
    return base if hasattr(base, TRACKED) else _tracked_class(base, config)


def _tracked_class(base: type[Trainer], config: TrackerConfig | None) -> type[Trainer]:
    nnunet_trainer: Any = base

    class TrackedTrainer(nnunet_trainer):  # type: ignore[misc] # its base is known when it is made
        """Bound under the name of its base."""

        tracking: "_Tracking | None" = None

        def run_training(self) -> None:
            with _failures_tracked(self):
                super().run_training()

        def on_train_start(self) -> None:
            super().on_train_start()  # which forks workers: threads come afterwards
            if self.local_rank == 0:
                self.tracking = _Tracking(self, config or TrackerConfig.from_env())

        def perform_actual_validation(self, save_probabilities: bool = False) -> None:
            with _failures_tracked(self):
                super().perform_actual_validation(save_probabilities)
                if self.tracking:
                    self.tracking.finish_validated(self)

    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(TrackedTrainer, attribute, getattr(base, attribute))
    setattr(TrackedTrainer, TRACKED, base)
    return TrackedTrainer


@contextmanager
def _failures_tracked(trainer: "_Tracked") -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if trainer.tracking:
            trainer.tracking.end(error)
        raise


class _Tracked(NnunetTrainer, Protocol):
    """A trainer with its tracking."""

    tracking: "_Tracking | None"


class _Tracking:
    """The journal of one training and the thread that sends it."""

    def __init__(self, trainer: NnunetTrainer, config: TrackerConfig) -> None:
        self._folder = Path(trainer.output_folder)
        if (self._folder / OWN_FOLDER / REQUEST_FILE).exists():
            raise FoldError(
                f"{self._folder} holds a fold that a project of nnunet_assets trains. Train it there "
                "(`nnunet-assets train`), or set nnUNet_results to another folder."
            )
        self._experiment = Experiment(
            dataset=trainer.plans_manager.dataset_name,
            configuration=trainer.configuration_name,
            trainer=type(trainer).__name__,
            plans=trainer.plans_manager.plans_name,
        )
        self._tracker = self._start_tracker(config.destination())
        self._logger = self._open_journal(trainer)
        trainer.logger.loggers.append(self._logger)
        # A training that is never validated is over when its process is.
        atexit.register(self.end)

    def finish_validated(self, trainer: NnunetTrainer) -> None:
        self._logger.close()
        try:
            series = validation_series(trainer, self._experiment, self._folder.name)
            append_record(journal_path(self._folder), "end", series)
        except (NnunetAssetsError, OSError) as error:
            trainer.print_to_log_file(f"The validation is not in MLflow: {error}")
        self._tracker.finish("FINISHED", [self._folder / "validation" / "summary.json", Path(trainer.log_file)])

    def end(self, error: BaseException | None = None) -> None:
        self._logger.close()
        self._tracker.__exit__(type(error) if error else None, error, None)

    def _start_tracker(self, destination: Destination) -> FoldTracker:
        tracker = FoldTracker(
            destination,
            experiment_name=destination.experiment_of(self._experiment.dataset),
            fold_folder=self._folder,
            tags={**experiment_tags(self._experiment, "fold"), FOLD: self._folder.name},
            run_name=fold_run_name(self._experiment, self._folder.name),
        )
        return tracker.__enter__()

    def _open_journal(self, trainer: NnunetTrainer) -> JournalLogger:
        journal = journal_path(self._folder)
        truncate_after_epoch(journal, trainer.current_epoch)
        start = next(read_records(journal), None)
        if start is None or start.kind != "start" or trainer.current_epoch == 0:
            journal.unlink(missing_ok=True)  # nnU-Net begins anew, over what lies there
            params = training_parameters(
                trainer, self._experiment, self._folder.name, overrides={}, options=TrainingOptions()
            )
            append_record(journal, "start", {"attempt": uuid.uuid4().hex, "params": params})
        return JournalLogger(journal, label_names(trainer), lambda _epoch, _values: None)
