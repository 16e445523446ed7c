"""The code location: the only assembler of assets, jobs, sensors and resources.

Dagster loads it from the user's `workspace.yaml`. The project folder is `NNUNET_ASSETS_PROJECT`, else the current one.
"""

import sys
import tomllib
import warnings
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import cast

import dagster as dg

from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER
from nnunet_assets.core.files.regular_file import regular_text
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.jobs import build_jobs, training_jobs
from nnunet_assets.project_folder.moved_project import refuse_other_place
from nnunet_assets.resources.asset_values import VALUES_KEY, asset_values
from nnunet_assets.resources.mlflow import MLFLOW_KEY, PROJECT_KEY, MlflowResource
from nnunet_assets.resources.patient_events import patient_in_process_executor
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.run_repository import RunRepository
from nnunet_assets.sensors import (
    build_adoption_sensor,
    build_ensemble_sensor,
    build_nightly_report,
    build_refresh_sensor,
    build_registration_sensor,
    build_retry_sensor,
    close_dead_runs,
    followers,
)
from nnunet_assets.settings import Settings

# Dagster says it of its own code when it loads checks, in every log: users can do nothing about it.
warnings.filterwarnings("ignore", "Parameter `execution_type` of function `AssetsDefinition", dg.BetaWarning)


@dg.definitions
def defs() -> dg.Definitions:
    """Returns everything that the project of this process declares, loaded as far as Dagster asks for it.

    Whoever merges it with definitions of his own wants `load_definitions`.
    """
    root = Settings.from_environment().project
    refuse_other_place(root)
    project = read_project(root)
    if not project.is_plain:
        return load_definitions(root)
    surroundings = dg.Definitions.merge(_surroundings(root), _mlflow())
    # Dagster takes a repository here too.
    return cast("dg.Definitions", RunRepository(project, surroundings, lambda: load_definitions(root)))


def load_definitions(root: Path) -> dg.Definitions:
    """Returns everything that a project declares, with all resources; all its files are checked before any is loaded.

    An `mlflow` resource among the project's own definitions stands in for this package's.

    Args:
        root: The project folder, absolute.

    Raises:
        ConfigError: Declarations are wrong; the message has all of them, with file and line.
    """
    declared = project_definitions(root)
    if MLFLOW_KEY in (declared.resources or {}):
        return declared
    return dg.Definitions.merge(declared, _mlflow())


def project_definitions(root: Path) -> dg.Definitions:
    """Returns what `load_definitions` does without the resource `mlflow`, for a code location that brings its own.

    `Definitions.merge(project_definitions(root), Definitions(resources={"mlflow": MlflowResource(...)}))`: Dagster
    merges no two resources of one key.

    Args:
        root: The project folder, absolute.

    Raises:
        ConfigError: Declarations are wrong; the message has all of them, with file and line.
    """
    project = read_project(root)
    _refuse_damaged_settings(root / "dg.toml", is_needed=project.has_definitions)
    _offer_experiments(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        # Dagster fails on a folder that declares nothing.
        declared = dg.load_from_defs_folder(path_within_project=root) if project.has_definitions else dg.Definitions()
    experiments = [config.identity for config in project.experiments]
    test_sets = {config.identity: project.folds_of(config) for config in project.experiments if config.test_set}
    registered = {
        **{one.identity: len(project.folds_of(one)) for one in project.experiments if one.registered_as},
        **{one.identity: len(project.folds_of_ensemble(one)) for one in project.ensembles if one.registered_as},
    }
    followed = followers(project)
    automation = dg.Definitions(
        jobs=build_jobs(project),
        sensors=[
            close_dead_runs,
            *(
                [
                    build_refresh_sensor(experiments, test_sets),
                    build_adoption_sensor(experiments),
                    build_retry_sensor(training_jobs(project)),
                ]
                if experiments
                else []
            ),
            *([build_ensemble_sensor(followed)] if followed else []),
            *([build_registration_sensor(registered)] if registered else []),
        ],
        schedules=[build_nightly_report(experiments)] if experiments else [],
    )
    return dg.Definitions.merge(declared, automation, _surroundings(root))


def _refuse_damaged_settings(file: Path, *, is_needed: bool) -> None:
    # Dagster reads it for a project's folder of definitions; without it, that of a project in a folder above.
    whole = "copy the one that `nnunet-assets init` writes into a new folder."
    try:
        content = tomllib.loads(regular_text(file))
    except FileNotFoundError:
        if is_needed and not _has_dagsters_table(file.with_name("pyproject.toml")):
            raise ConfigError(f"{file} is not there, by which Dagster finds the declarations: {whole}") from None
        return
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Correct it, or {whole}") from error
    if "directory_type" not in content:
        raise ConfigError(f'{file} lacks `directory_type = "project"`. Correct it, or {whole}')


def _has_dagsters_table(file: Path) -> bool:
    try:
        return "dg" in tomllib.loads(regular_text(file)).get("tool", {})
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Correct it.") from error


def _surroundings(root: Path) -> dg.Definitions:
    """Returns what every asset of the project needs beside it."""
    return dg.Definitions(
        resources={PROJECT_KEY: ProjectResource(folder=str(root)), VALUES_KEY: asset_values},
        # No middle process between the run worker and the fold: a kill of the worker reaches the fold at once.
        executor=patient_in_process_executor,
    )


def _mlflow() -> dg.Definitions:
    return dg.Definitions(resources={MLFLOW_KEY: MlflowResource()})


def _offer_experiments(root: Path) -> None:
    """Makes the folder of experiments the package that Dagster imports, without the rest of the project's folder.

    In `sys.path`, the folder would offer everything in it: a `random.py`, or a package that is not installed here and
    that some library tries to import.
    """
    place = str(root / EXPERIMENTS_FOLDER)
    known = sys.modules.get(EXPERIMENTS_FOLDER)
    if known is not None and list(known.__path__) == [place]:
        return
    for name in [name for name in sys.modules if name.split(".")[0] == EXPERIMENTS_FOLDER]:
        del sys.modules[name]  # another project's
    spec = PathFinder.find_spec(EXPERIMENTS_FOLDER, [str(root)])
    if spec is None or spec.loader is None:  # a folder without __init__.py: its place, and no other one of that name
        spec = ModuleSpec(EXPERIMENTS_FOLDER, None, is_package=True)
        spec.submodule_search_locations = [place]
    package = sys.modules[EXPERIMENTS_FOLDER] = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(package)
