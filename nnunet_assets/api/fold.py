"""Folds: trained, adopted, and sent to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nnunet_assets.api.given import settings_of
from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.workflows.fold.adopt import AdoptionReport
    from nnunet_assets.workflows.fold.sync import SyncReport
    from nnunet_assets.workflows.fold.train import TrainedFold


def train_fold(
    dataset: str | int,
    configuration: str,
    fold: int | Literal["all"],
    *,
    trainer: str = DEFAULT_TRAINER,
    plans: str = DEFAULT_PLANS,
    variant: str | None = None,
    undeclared: bool = False,
    device: Literal["cuda", "cpu", "mps"] | None = None,
    retrain: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "TrainedFold":
    """Trains and validates one fold in a process of its own, as `nnunet-assets train` does.

    A finished fold is not trained again; an interrupted one goes on from its last checkpoint. Data that is not prepared
    yet is prepared first.

    Args:
        dataset: A name or a number: `4`, `Dataset004_Hippocampus`.
        configuration: `2d`, `3d_fullres`, or any other that the plans file has.
        fold: Its number, or `all`: a model of every case.
        trainer: Trainer class.
        plans: Plans identifier.
        variant: Of a declared experiment; None: the default.
        undeclared: Whether what is named is meant though the project declares others that it may be short for.
        device: None: as declared, else a GPU where there is one.
        retrain: Train anew where the fold is there already; the old one is kept.
        track: Whether MLflow gets to know of it. A server that is down costs nothing but delay.
        project: Where the experiment may be declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: The fold cannot be trained, or its training failed.
    """
    from nnunet_assets.declarations.named_fold import NamedFold, undeclared_remark
    from nnunet_assets.declarations.project import declared_if_any
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.chosen_engine import chosen_engine
    from nnunet_assets.workflows.fold.start import prepared_request, train_from_there
    from nnunet_assets.workflows.fold.train import AskedNow

    settings = settings_of(project)
    declared = declared_if_any(settings.project)
    named = NamedFold(str(dataset), configuration, str(fold), trainer, plans, variant, undeclared=undeclared)
    key, config = named.chosen(declared, settings.roots)
    if remark := undeclared_remark(config.identity, declared):
        progress.say(remark)
    asked = AskedNow(retrain=retrain, device=device)
    request = prepared_request(settings, declared, config, key, asked, progress=progress)
    destination, engine = Destination.of(settings) if track else None, chosen_engine(settings, config, device=device)
    return train_from_there(settings, request, destination, progress, retrain=retrain, engine=engine)


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
