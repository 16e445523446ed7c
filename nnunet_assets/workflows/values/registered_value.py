"""The version in MLflow's registry that an asset `registered_model` made last."""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.tracking.registry.registry_names import EXPERIMENT
from nnunet_assets.tracking.registry.versions import RegisteredVersion, list_versions
from nnunet_assets.tracking.store.destination import Destination


def newest_version(project: Path, key: Sequence[str], destination: Destination) -> RegisteredVersion:
    """Returns the newest version of what the declaration of an asset registers.

    Args:
        project: The project folder.
        key: Of the asset: below an experiment or an ensemble, or below a dataset, whose choice it is.
        destination: Where the registry is.

    Raises:
        ConfigError: Nothing of that key asks for a registered model.
        TrackingError: No version was registered, or the registry does not answer.
    """
    declared = read_project(project)
    if len(key) == 2:
        name, members = declared.dataset(key[0]).registered_as, None
    else:
        name, members = _of_experiment(declared, Experiment.of_key_prefix(key[:-1]))
    if not name:
        raise ConfigError(f"{'/'.join(key)}: its declaration asks for no registered model. Add `register: NAME` to it.")
    # Several experiments may be registered under one name.
    versions = [
        one
        for one in list_versions(destination, name)
        if members in (None, set(one.tags.get(EXPERIMENT, "").split(",")))
    ]
    if not versions:
        raise TrackingError(f"No version of {name!r} was registered for {'/'.join(key[:-1])}. Materialize it first.")
    return versions[0]


def _of_experiment(project: Project, experiment: Experiment) -> tuple[str | None, set[str]]:
    """Returns the name under which it is registered, and the experiments that predict in it."""
    members = project.members.get(experiment, (experiment,))
    declared: tuple[ExperimentConfig | EnsembleConfig, ...] = (*project.experiments, *project.ensembles)
    name = next((one.registered_as for one in declared if one.identity == experiment), None)
    return name, {"/".join(one.key_prefix) for one in members}
