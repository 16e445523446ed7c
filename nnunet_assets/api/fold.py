"""Folds: trained, adopted, and sent to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from nnunet_assets.api.given import settings_of
from nnunet_assets.api.training_words import Device, TrainingWords, named_fold, training
from nnunet_assets.core.progress import LOGGED, SILENT, Progress

if TYPE_CHECKING:
    from nnunet_assets.workflows.fold.adopt import AdoptionReport
    from nnunet_assets.workflows.fold.dry_run import DryRun
    from nnunet_assets.workflows.fold.named_training import CrossValidated, TrainedAgain
    from nnunet_assets.workflows.fold.sync import SyncReport
    from nnunet_assets.workflows.fold.train import TrainedFold


def train_fold(
    dataset: str | int,
    configuration: str,
    fold: int | Literal["all"],
    *,
    trainer: str | None = None,
    plans: str | None = None,
    variant: str | None = None,
    undeclared: bool = False,
    device: Device | None = None,
    retrain: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
    **words: Unpack[TrainingWords],
) -> "TrainedFold":
    """Trains and validates one fold in a process of its own, as `nnunet-assets train` does.

    A finished fold is not trained again; an interrupted one goes on from its last checkpoint. Data that is not prepared
    yet is prepared first.

    Args:
        dataset: A name or a number: `4`, `Dataset004_Hippocampus`.
        configuration: `2d`, `3d_fullres`, or any other that the plans file has.
        fold: Its number, or `all`: a model of every case.
        trainer: Trainer class; None: nnUNetTrainer.
        plans: Plans identifier; None: nnUNetPlans.
        variant: Of a declared experiment, or a name for what the words make; None: the default.
        undeclared: Whether what is named is meant though the project declares others that it may be short for.
        device: None: as declared, else a GPU where there is one.
        retrain: Train anew where the fold is there already; the old one is kept.
        track: Whether MLflow gets to know of it. A server that is down costs nothing but delay.
        project: Where the experiment may be declared.
        progress: Told how far it is.
        words: As `TrainingWords`, the other flags of `train`. Those that change the result make a variant.

    Raises:
        NnunetAssetsError: The fold cannot be trained, or its training failed.
    """
    how = training(words, project=project, progress=progress, track=track, device=device, retrain=retrain)
    which = {"trainer": trainer, "plans": plans, "variant": variant}
    return how.named(named_fold(words, dataset, configuration, fold, undeclared=undeclared, **which))


def cross_validate(
    dataset: str | int,
    configuration: str,
    *,
    folds: Sequence[int] | None = None,
    trainer: str | None = None,
    plans: str | None = None,
    variant: str | None = None,
    undeclared: bool = False,
    device: Device | None = None,
    retrain: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
    **words: Unpack[TrainingWords],
) -> "CrossValidated":
    """Trains all folds of an experiment, one after the other, and summarizes them.

    Finished folds are not trained again. One that fails does not keep the others from their training.

    Args:
        dataset: As for `train_fold`, as is what is not said here.
        configuration: Likewise.
        folds: Those to train, of all; None: as the project declares, else every fold of the split.
        trainer: Likewise.
        plans: Likewise.
        variant: Likewise.
        undeclared: Likewise.
        device: Likewise.
        retrain: Train every one of them anew.
        track: Likewise; also of the summary.
        project: Likewise.
        progress: Likewise; told of each fold.
        words: Likewise.

    Raises:
        FoldError: Folds did not finish: each with its reason, after all others were trained and summarized.
        NnunetAssetsError: The experiment cannot be trained.
    """
    how = training(words, project=project, progress=progress, track=track, device=device, retrain=retrain)
    which = {"trainer": trainer, "plans": plans, "variant": variant}
    return how.cross_validated(named_fold(words, dataset, configuration, None, undeclared=undeclared, **which), folds)


def train_again(
    run_id: str,
    *,
    device: Device | None = None,
    retrain: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
    **words: Unpack[TrainingWords],
) -> "TrainedAgain":
    """Trains the fold of an MLflow run again, with what that run was trained with, as `train --from-run` does.

    Args:
        run_id: MLflow's, of a fold.
        device: None: the kind that the run was trained on, where there is one, else any.
        retrain: As for `train_fold`, as is what is not said here.
        track: Likewise.
        project: Likewise.
        progress: Likewise; told what is not what it was when the run was made.
        words: Likewise; what contradicts the run is refused.

    Raises:
        NnunetAssetsError: There is no such run, data, plans or splits are others (unless `despite_changes`), or the
            fold cannot be trained.
    """
    how = training(words, project=project, progress=progress, track=track, device=device, retrain=retrain)
    despite = words.get("despite_changes", False)
    return how.again(run_id, named_fold(words, None, None, None), despite_changes=despite)


def dry_run(
    dataset: str | int,
    configuration: str,
    fold: int | Literal["all"],
    *,
    trainer: str | None = None,
    plans: str | None = None,
    variant: str | None = None,
    undeclared: bool = False,
    device: Device | None = None,
    retrain: bool = False,
    project: Path | str | None = None,
    **words: Unpack[TrainingWords],
) -> "DryRun":
    """Returns what `train_fold` would do, on which device and how long; nothing is written.

    Args:
        dataset: As for `train_fold`, as are all others.
        configuration: Likewise.
        fold: Likewise.
        trainer: Likewise.
        plans: Likewise.
        variant: Likewise.
        undeclared: Likewise.
        device: Likewise.
        retrain: Likewise.
        project: Likewise.
        words: Likewise.

    Raises:
        NnunetAssetsError: The fold cannot be trained.
    """
    from nnunet_assets.workflows.fold.dry_run import dry_run as run_dry

    how = training(words, project=project, progress=SILENT, track=False, device=device, retrain=retrain)
    which = {"trainer": trainer, "plans": plans, "variant": variant}
    named = named_fold(words, dataset, configuration, fold, undeclared=undeclared, **which)
    key, config = named.chosen(how.project, how.settings.roots)
    going_on = how.continue_training
    return run_dry(how.settings, how.project, config, key, how.asked, continue_training=going_on)


def adopt(folder: Path | str, *, track: bool = True, project: Path | str | None = None) -> "AdoptionReport":
    """Adopts the finished folds below a folder, or the folder itself, that plain nnU-Net trained.

    As `nnunet-assets adopt` does, but for Dagster's record, which the command writes.

    Args:
        folder: nnUNet_results, or the folder of a dataset, a model or a fold in it.
        track: Whether MLflow gets their curves and scores.
        project: Which takes them in.

    Raises:
        FoldError: There is none.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.adopt import adopt as adopt_below

    settings = settings_of(project)
    return adopt_below(settings, Path(folder), Destination.of(settings) if track else None)


def sync(
    folds: Sequence[Path | str] = (), *, timeout_seconds: float = 300.0, project: Path | str | None = None
) -> "SyncReport":
    """Sends to MLflow what waits of these folds, or of every fold of the project, as `nnunet-assets sync` does.

    Args:
        folds: Folders `fold_k`; empty: every fold of the project that was ever tracked.
        timeout_seconds: After which the rest is left waiting.
        project: Whose folds, and whose MLflow.

    Raises:
        TrackingError: One of the folders holds no fold that was tracked.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.sync import sync as send

    settings = settings_of(project)
    return send(settings, Destination.of(settings), [Path(fold) for fold in folds], timeout_seconds)
