"""`search`: trials of an experiment that differ in some settings, trained on one fold and ranked."""

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.fold.fold_metadata import plotted
from nnunet_assets.assets.types import SEARCH
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import JOBS_POOL, TRAINING_POOL, dataset_key, plans_key
from nnunet_assets.core.search.report import SearchReport, row
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.search.run import run_search
from nnunet_assets.workflows.search.search_files import make_search_files

DESCRIPTION = """Trials of an experiment that differ in some settings, each trained on one fold like any other fold.

Every trial has the whole schedule; those that are worse than others after the same number of epochs are stopped. They
are ranked by the pseudo Dice, which nnU-Net estimates on random patches: it ranks, and is no result. Where a run was
ended, by a kill or by Terminate, the next one goes on with the same trials from their last checkpoints. `nnunet-assets
search adopt` makes an experiment of the best one, whose cross-validation gives its number."""

ROWS_SHOWN = 100
"""Of the table in the web UI; the file has all trials."""


class SearchRunConfig(dg.Config):
    """What one run of a search may ask for."""

    extend: bool = Field(
        default=False, description="Go on in another space than the trials so far were begun in; they stay."
    )


def search_key(config: SearchConfig) -> dg.AssetKey:
    """Returns the key of a search."""
    return dg.AssetKey([*config.identity.key_prefix, "search"])


def build_search(*, config: SearchConfig, project: Project, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one search.

    Args:
        config: What is declared.
        project: All declarations, as they were when the definitions were loaded.
        group: In the web UI.
    """
    of, declared, every = config.of, config, project

    @dg.asset(
        key=search_key(config),
        deps=[dg.AssetKey(plans_key(of.dataset, of.plans)), dg.AssetKey(dataset_key(of.dataset, "splits"))],
        dagster_type=SEARCH,
        io_manager_key=VALUES_KEY,
        group_name=group,
        kinds={"pytorch", "mlflow", "table"},
        owners=config.owners,
        description="\n\n".join(filter(None, [config.description, DESCRIPTION])),
        code_version=json_sha256(config.model_dump(mode="json", exclude={"owners", "description", "each"}))[:16],
        pool=TRAINING_POOL if project.engine_of(config.trial(0, {})).is_here else JOBS_POOL,
    )
    def search(
        context: dg.AssetExecutionContext,
        config: SearchRunConfig,
        project: ProjectResource,
        mlflow: dg.ResourceParam[object],
    ) -> dg.MaterializeResult:
        settings, destination = project.settings, destination_of(mlflow, project.settings)
        progress = LogProgress(context.log, relays=True)
        with shown_as_failure():
            end = run_search(
                settings,
                every,
                declared,
                progress,
                extends=config.extend,
                # Where the resource says, too.
                environment={"MLFLOW_TRACKING_URI": destination.tracking_uri},
            )
            made = make_search_files(settings, every, declared, destination, dagster_run_id=context.run.run_id)
        report = made.report
        context.log.info(report.headline())
        if made.n_waiting:
            context.log.warning(f"{made.n_waiting} trials wait to be sent to MLflow: `nnunet-assets sync` tries again.")
        if end.reason:
            context.log.warning(f"It ended before its trials: {end.reason}.")
        return dg.MaterializeResult(
            value=report,
            data_version=dg.DataVersion(json_sha256(report.to_json())),
            metadata={
                **_shown(report),
                **({"ended_early": dg.MetadataValue.text(end.reason)} if end.reason else {}),
                "folder": dg.MetadataValue.path(made.folder),
                **run_metadata(made.tracked, context.log),
            },
        )

    return search


def _shown(report: SearchReport) -> dict[str, dg.MetadataValue]:
    best = report.best
    rows = [
        {
            name: "" if value is None else value if isinstance(value, int | float | str) else str(value)
            for name, value in row(one, report.settings).items()
        }
        for one in report.ranked[:ROWS_SHOWN]
    ]
    return {
        "headline": dg.MetadataValue.text(report.headline()),
        **({"best_trial_pseudo_dice": plotted(best.score)} if best and best.score is not None else {}),
        **({"best_trial": dg.MetadataValue.text(best.name)} if best else {}),
        "trials": dg.MetadataValue.int(len(report.trials)),
        "epochs": dg.MetadataValue.int(report.n_epochs),
        "hours": dg.MetadataValue.float(report.hours),
        **({"ranked": dg.MetadataValue.table([dg.TableRecord(one) for one in rows])} if rows else {}),
    }
