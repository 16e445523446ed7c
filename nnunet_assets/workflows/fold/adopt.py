"""Folds that plain nnU-Net trained are taken in: what their files prove is recorded beside each, and sent to MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.summary.cv_groups import fold_order
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.errors import FoldError, NnunetAssetsError
from nnunet_assets.nnunet.adoption.adoption import Adopted, adopt_fold
from nnunet_assets.nnunet.results.adopted_places import remember_place
from nnunet_assets.nnunet.results.results_folder import models_in
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.adopted_fold_run import back_fill


@dataclass(frozen=True)
class AdoptionReport:
    """What was taken in.

    Attributes:
        folds: The folds, in order.
        tracking: Fold folder to what MLflow has of it; empty: MLflow gets to know of none.
        refused: Fold folder to why it cannot be adopted.
        to_record: The folds that Dagster is to record: declared ones, in the project's results.
        remarks: Why it is to record no others.
    """

    folds: Sequence[Adopted]
    tracking: Mapping[Path, TrackingReport]
    refused: Mapping[Path, str]
    to_record: Sequence[Adopted]
    remarks: Sequence[str]


def adopt(settings: Settings, folder: Path, destination: Destination | None) -> AdoptionReport:
    """Adopts the finished folds below a folder, or the folder itself, that plain nnU-Net trained.

    Args:
        settings: Where the project keeps its things.
        folder: nnUNet_results, or the folder of a dataset, a model or a fold in it.
        destination: Where their runs go; None: MLflow gets to know of none.

    Raises:
        FoldError: There is none.
    """
    adopted: list[Adopted] = []
    tracking: dict[Path, TrackingReport] = {}
    refused: dict[Path, str] = {}
    for fold in foreign_folds(folder):
        try:
            found = adopt_fold(fold, settings.trusted_code)
        except NnunetAssetsError as error:
            refused[fold] = str(error)
            continue
        adopted.append(found)
        if not _is_in_project(settings, found):
            remember_place(settings.data, found.folder)
        if destination and destination.is_on:
            tracking[fold] = back_fill(destination, found)
    to_record, remarks = _to_record(settings, adopted)
    return AdoptionReport(adopted, tracking, refused, to_record, remarks)


def foreign_folds(folder: Path) -> list[Path]:
    """Returns the folds below a folder, or the folder itself, that this project did not train; in order.

    A model on every case is none: it has no Dice to summarize.

    Raises:
        FoldError: There is none.
    """
    folds = [fold for model in models_in(folder) for fold in model.folder.glob("fold_*")]
    if folder.name.startswith("fold_"):
        folds = [folder]
    found = [
        fold for fold in folds if fold.name != "fold_all" and fold_state(fold) in ("foreign", "adopted", "changed")
    ]
    if not found:
        raise FoldError(
            f"{folder} holds no fold that something else trained ({len(folds)} folds looked at). Name nnUNet_results, "
            "or a dataset, a model (TRAINER__PLANS__CONFIGURATION) or a fold in it."
        )
    return sorted(found, key=lambda fold: (fold.parent, fold_order(fold.name)))


def _to_record(settings: Settings, adopted: Sequence[Adopted]) -> tuple[list[Adopted], list[str]]:
    """Returns the folds that Dagster is to record, and sentences about the others."""
    # Declarations that are wrong must not hide why no fold could be adopted.
    declared = {config.identity for config in (declared_if_any(settings.project).experiments if adopted else ())}
    wanted, remarks = [], []
    for found in adopted:
        if not _is_in_project(settings, found):
            remarks.append(
                f"{found.folder} is not in {settings.roots.results}, where the project's assets look. Move or link its "
                "model there, or read it with --results."
            )
        elif found.experiment not in declared:
            remarks.append(
                f"{found.experiment.title} is not declared in {settings.project}, so Dagster does not show it."
            )
        else:
            wanted.append(found)
    if wanted and not settings.dagster_home.is_dir():
        wanted.clear()
        remarks.append(
            f"Dagster has no instance in {settings.dagster_home} yet, so it has recorded no fold. Start it with "
            "`nnunet-assets dev` or `up`, then adopt again."
        )
    return wanted, list(dict.fromkeys(remarks))


def _is_in_project(settings: Settings, adopted: Adopted) -> bool:
    """Says whether the fold lies where the project's assets look for it."""
    place = adopted.experiment.fold_folder(settings.roots, adopted.folder.name)
    return place.is_dir() and place.samefile(adopted.folder)
