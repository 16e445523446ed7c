"""What there is: declared, trained so far, and to be named as a trainer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.api.given import path_of, settings_of

if TYPE_CHECKING:
    from nnunet_assets.core.summary.cv_groups import CvGroup
    from nnunet_assets.declarations.project import Project
    from nnunet_assets.nnunet.trainer.trainer_sources import FoundTrainers


def declarations(project: Path | str | None = None) -> "Project":
    """Returns what a project declares, as `nnunet-assets check-config` reads it.

    Args:
        project: Whose.

    Raises:
        ConfigError: Declarations are wrong: every error of every file, a line each.
    """
    from nnunet_assets.declarations.project import read_project

    return read_project(settings_of(project).project)


def list_experiments(
    *, tracking_uri: str | None = None, results: Path | str | None = None, project: Path | str | None = None
) -> "Mapping[str, Sequence[CvGroup]]":
    """Returns the experiments with their groups and finished folds, as `nnunet-assets list` does; empty: none yet.

    Args:
        tracking_uri: Another server or store than the project's own.
        results: A results folder to read in place of MLflow.
        project: Whose.

    Raises:
        TrackingError: MLflow does not answer, or what `tracking_uri` names is not there.
        SummaryError: The results folder is not there, or holds no model.
    """
    from nnunet_assets.errors import NotMadeYetError
    from nnunet_assets.workflows.results.recorded_summaries import folder_record, mlflow_record

    if (folder := path_of(results)) is not None:
        return folder_record(folder).experiments()
    try:
        return mlflow_record(settings_of(project), tracking_uri).experiments()
    except NotMadeYetError:
        if tracking_uri:  # what is named is to be there
            raise
        return {}


def trainers(project: Path | str | None = None) -> "FoundTrainers":
    """Returns the trainer classes that an experiment may name, as `nnunet-assets trainers` does.

    Args:
        project: Whose folder `trainers`, and whose nnUNet_extTrainer.
    """
    from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers

    return found_trainers(settings_of(project).child_environment())


def new_trainer(name: str, *, project: Path | str | None = None) -> Path:
    """Writes a trainer class into a project, to begin with, and returns its file, as `nnunet-assets trainers --new`.

    Args:
        name: Of the class.
        project: In whose folder `trainers`.

    Raises:
        ConfigError: The name is none for a class, or there is a trainer or a file of that name.
    """
    from nnunet_assets.workflows.fold.new_trainer import write_new_trainer

    return write_new_trainer(settings_of(project), name)
