"""Versions in MLflow's registry: registered, listed, and promoted."""

from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.api.given import settings_of
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.tracking.registry.versions import RegisteredVersion
    from nnunet_assets.workflows.registry.register import Registered
    from nnunet_assets.workflows.registry.registered_models import ClearedModels


def register(
    experiment: str,
    *,
    name: str | None = None,
    tracking_uri: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Registered":
    """Registers an experiment or an ensemble in MLflow, as the asset `registered_model` does, and asks the gate.

    Args:
        experiment: A declared one: `DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset, or
            `DATASET/ensembles/NAME`.
        name: Of the model; None: as the declaration's `register` says.
        tracking_uri: Another server or store than the project's own.
        project: Where the experiment is declared.
        progress: Told what happens.

    Raises:
        NnunetAssetsError: Folds are unfinished, mixed or of other plans, or the registry does not answer.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.register_declared import register_declared

    settings = settings_of(project)
    declared = read_project(settings.project)
    destination = Destination.of(settings, tracking_uri)
    config = declared.experiment_or_ensemble(experiment)
    return register_declared(settings, declared, config, destination, name=name, progress=progress)


def models(
    name: str | None = None, *, tracking_uri: str | None = None, project: Path | str | None = None
) -> "list[RegisteredVersion]":
    """Returns the versions that nnunet-assets registered, by name, the newest of each first.

    Args:
        name: Of one model; None: of all.
        tracking_uri: Another server or store than the project's own.
        project: Whose registry.

    Raises:
        TrackingError: The registry does not answer, or has no model of that name.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.registered_models import registered_versions

    return registered_versions(Destination.of(settings_of(project), tracking_uri), name)


def promote(
    name: str,
    version: int,
    *,
    force: str | None = None,
    tracking_uri: str | None = None,
    project: Path | str | None = None,
) -> "RegisteredVersion":
    """Makes a version the champion of its model, as `nnunet-assets promote` does.

    Args:
        name: Of the model.
        version: Its number.
        force: Why it is to be the champion although the gate does not let it; kept with the version. None: only what
            passed the gate becomes champion.
        tracking_uri: Another server or store than the project's own.
        project: Whose registry.

    Raises:
        ConfigError: The gate does not let it.
        TrackingError: There is no such version, or the registry does not answer.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.registered_models import promote_version

    settings = settings_of(project)
    return promote_version(settings, Destination.of(settings, tracking_uri), name, version, force=force)


def clear_models(
    name: str | None = None,
    *,
    dry_run: bool = False,
    tracking_uri: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "ClearedModels":
    """Deletes the versions of this project that no alias needs, with their files, as `nnunet-assets models --clear`.

    Args:
        name: Of one model; None: of all.
        dry_run: Only return what would be deleted.
        tracking_uri: Another server or store than the project's own.
        project: Whose registry.
        progress: Told of each.

    Raises:
        TrackingError: The registry does not answer; what was deleted until then is.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.registered_models import clear_models as clear

    settings = settings_of(project)
    destination = Destination.of(settings, tracking_uri)
    return clear(settings, destination, name, confirms=lambda _needless: not dry_run, progress=progress)
