"""`best_configuration`: which of a dataset's models to take, and what it may be expected to score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.ensemble.found_ensembles import found_ensembles_key
from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import file_columns, shown_tables
from nnunet_assets.assets.types import BEST_CONFIGURATION
from nnunet_assets.core.files.layout import Experiment, dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import NoCandidateError
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.model.best_files import MadeBestConfiguration, make_best_configuration

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration

EVERY_EXPERIMENT_CHECK = "chooses_among_every_experiment"

ROWS_SHOWN = 100
"""Of each table in the web UI; the files have all rows."""

DESCRIPTION = """Which of the dataset's models to take, and an honest number for it.

Candidates are the experiments and ensembles that have a complete summary, each with and without the postprocessing
that it earns. Of ensembles that nobody declares those count that are there: it predicts none, which `found_ensembles`
does, and says which are missing. The best mean Dice is taken; where others cannot be told from it, the simplest of
them. Since a mean that was chosen as the best of several promises too much, the expected Dice is estimated by choosing
on some folds and scoring on the others, with an interval that repeats the whole choice."""


def build_best_configuration(
    *, config: DatasetConfig, experiments: Sequence[Experiment], project: Project, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset.

    Args:
        experiments: The dataset's, at least two.
        project: All declarations, as they were when the definitions were loaded.
    """
    key = dg.AssetKey(dataset_key(config.dataset, "best_configuration"))
    declared = project

    @dg.asset(
        key=key,
        deps=[
            *(dg.AssetKey([*experiment.key_prefix, "cv_summary"]) for experiment in experiments),
            *([found_ensembles_key(config.dataset)] if config.ensembles_to_find.max_members > 1 else []),
        ],
        group_name=group,
        dagster_type=BEST_CONFIGURATION,
        io_manager_key=VALUES_KEY,
        kinds={"json", "mlflow", "table"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="2",
        # After what takes a second: it reads every mask that it does not know yet.
        op_tags={"dagster/priority": "-1"},
        check_specs=[
            dg.AssetCheckSpec(
                EVERY_EXPERIMENT_CHECK,
                asset=key,
                description="Every declared experiment is a candidate; the others are named with the reason.",
            )
        ],
    )
    def best_configuration(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            try:
                made = make_best_configuration(
                    settings,
                    declared,
                    config.dataset,
                    LogProgress(context.log),
                    destination=destination_of(mlflow, settings),
                    dagster_run_id=context.run.run_id,
                )
            except NoCandidateError as error:
                return _nothing_yet(settings.places.hidden(str(error)))
        found = made.found
        context.log.info(found.headline())
        return dg.MaterializeResult(
            value=found,
            data_version=dg.DataVersion(made.digest),
            metadata={
                "headline": dg.MetadataValue.text(found.headline()),
                "chosen": dg.MetadataValue.text(found.chosen),
                **_shown(made),
                "file": dg.MetadataValue.path(made.file),
                **run_metadata(made.tracked, context.log),
            },
            check_results=[_every_experiment(found)],
        )

    return best_configuration


def _nothing_yet(reason: str) -> dg.MaterializeResult:
    """Returns what is shown while no summary is complete; a refresh by the first fold of all is no failure."""
    return dg.MaterializeResult(
        value=None,
        data_version=dg.DataVersion("none"),
        metadata={"headline": dg.MetadataValue.text(f"Nothing to choose from yet. {reason}")},
        check_results=[_check(reason, passed=False)],
    )


def _shown(made: MadeBestConfiguration) -> dict[str, dg.MetadataValue]:
    from nnunet_assets.reports.tables.best_configuration_rows import (
        COLUMNS,
        candidate_numbers,
        candidate_records,
        notes,
        step_numbers,
        step_records,
    )
    from nnunet_assets.reports.text.escaping import escape_markdown

    found = made.found
    candidates, steps = candidate_records(found)[:ROWS_SHOWN], step_records(found)[:ROWS_SHOWN]
    sentences = [*found.reasons(), *notes(found), *filter(None, [made.no_inference_files])]
    numbers = {"dice": found.chosen_candidate.mean, "optimism": found.optimism}
    if found.expected:
        numbers["expected_dice"] = found.expected.mean
    return {
        **{name: dg.MetadataValue.float(value) for name, value in numbers.items() if value is not None},
        **shown_tables("candidates", candidates, candidate_numbers(found)[:ROWS_SHOWN]),
        **shown_tables("postprocessing", steps, step_numbers(found)[:ROWS_SHOWN]),
        **file_columns(COLUMNS, len(found.candidates)),
        "reasons": dg.MetadataValue.md("\n".join(f"- {escape_markdown(one)}" for one in sentences)),
    }


def _every_experiment(found: "BestConfiguration") -> dg.AssetCheckResult:
    left_out = [f"{name}: {reason}" for name, reason in found.left_out.items()]
    return _check(
        "\n".join(left_out) or f"{len({one.model for one in found.candidates})} models are candidates.",
        passed=not left_out,
    )


def _check(description: str, *, passed: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=EVERY_EXPERIMENT_CHECK,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
    )
