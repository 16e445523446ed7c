"""The code location: the only assembler of assets, jobs, sensors and resources.

Dagster loads it from the user's `workspace.yaml`. The project folder is `NNUNET_ASSETS_PROJECT`, else the current one.
"""

import sys
import warnings
from pathlib import Path

import dagster as dg

from nnunet_assets.jobs import build_jobs
from nnunet_assets.mlflow_border import mlflow_tracking
from nnunet_assets.project import read_project
from nnunet_assets.resources import ProjectResource
from nnunet_assets.sensors import build_adoption_sensor, build_nightly_report, build_refresh_sensor, close_dead_runs
from nnunet_assets.settings import Settings

# Dagster says it of its own code when it loads checks, in every log: users can do nothing about it.
warnings.filterwarnings("ignore", "Parameter `execution_type` of function `AssetsDefinition", dg.BetaWarning)


@dg.definitions
def defs() -> dg.Definitions:
    """Returns everything that the project of this process declares."""
    return load_definitions(Settings.from_environment().project)


def load_definitions(root: Path) -> dg.Definitions:
    """Returns everything that a project declares; all its files are checked before any is loaded.

    Args:
        root: The project folder, absolute.

    Raises:
        ConfigError: Declarations are wrong; the message has all of them, with file and line.
    """
    project = read_project(root)
    # Dagster imports the experiments' folder as a namespace package, and restores sys.path after importing this module.
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        # Dagster fails on a folder that declares nothing.
        declared = dg.load_from_defs_folder(path_within_project=root) if project.has_definitions else dg.Definitions()
    experiments = [config.identity for config in project.experiments]
    test_sets = {config.identity: project.folds_of(config) for config in project.experiments if config.test_set}
    automation = dg.Definitions(
        jobs=build_jobs(project),
        sensors=[
            close_dead_runs,
            *(
                [build_refresh_sensor(experiments, test_sets), build_adoption_sensor(experiments)]
                if experiments
                else []
            ),
        ],
        schedules=[build_nightly_report(experiments)] if experiments else [],
        resources={"project": ProjectResource(folder=str(root)), "mlflow": mlflow_tracking},
        # No middle process between the run worker and the fold: a kill of the worker reaches the fold at once.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(declared, automation)
