"""`cv_evaluation`: the saved predictions of the finished folds, measured case by case, without training again."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import file_columns, shown_tables
from nnunet_assets.assets.fold.partitions import folds_key
from nnunet_assets.assets.types import CASE_EVALUATION
from nnunet_assets.core.evaluation.evaluation import COLUMNS, Evaluation
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.reports.tables.evaluation_tables import (
    interval_numbers,
    interval_records,
    label_numbers,
    notes,
    short_records,
)
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.evaluate import evaluate_as_declared, target_of_folds
from nnunet_assets.workflows.values.evaluation_values import CaseEvaluation

EVALUATED_CHECK = "every_case_is_evaluated"

DESCRIPTION = """A row a validation case and label, from the predictions that the finished folds saved: Dice, IoU,
sensitivity, precision, HD95, ASSD, surface Dice at a tolerance (NSD), volumes and their error; lesions where asked for.

What was computed before is not computed again. A prediction that cannot be compared with its reference is named, and
the rest is reported. `evaluation.json` holds the definitions and what each label comes to: mean, SD, quartiles and the
95 % interval of the mean; `labels.csv`, `.md` and `.tex` are the same as tables."""


def build_cv_evaluation(
    *, config: ExperimentConfig | EnsembleConfig, dataset: DatasetConfig, folds: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset, or of an ensemble of several."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "cv_evaluation"])
    measured = {"nsd_tolerance_mm": dataset.nsd_tolerance_mm, "lesion_labels": dataset.lesion_labels}

    @dg.asset(
        key=key,
        deps=[folds_key(experiment)],
        group_name=group,
        dagster_type=CASE_EVALUATION,
        io_manager_key=VALUES_KEY,
        kinds={"parquet", "csv"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=f"4-{json_sha256(measured)[:16]}",
        # In a run with the summary and its tables it comes after them: they take a second, this may take an hour.
        op_tags={"dagster/priority": "-1"},
        check_specs=[
            dg.AssetCheckSpec(
                EVALUATED_CHECK, asset=key, description="Every validation case of every fold is evaluated."
            )
        ],
    )
    def cv_evaluation(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            target = target_of_folds(
                settings, experiment.model_folder(settings.roots), folds, experiment.title, dataset=dataset
            )
            evaluated = evaluate_as_declared(settings, target, LogProgress(context.log))
        evaluation = evaluated.evaluation
        context.log.info(f"{evaluation.headline()}; {evaluation.n_computed} cases computed, the others were known.")
        return dg.MaterializeResult(
            value=CaseEvaluation(evaluated.folder, evaluated.content),
            data_version=dg.DataVersion(evaluated.digest()),
            metadata={
                "headline": dg.MetadataValue.text(evaluation.headline()),
                **shown_labels(evaluated.content),
                **file_columns(COLUMNS, evaluation.n_evaluated * len(evaluation.labels or ()) or None),
                "cases_computed": dg.MetadataValue.int(evaluation.n_computed),
                "file_parquet": dg.MetadataValue.path(evaluated.table_parquet),
                "file_csv": dg.MetadataValue.path(evaluated.table_csv),
                **({"problems": dg.MetadataValue.text(evaluation.problem_text())} if evaluation.problems else {}),
            },
            check_results=[every_case(evaluation)],
        )

    return cv_evaluation


def shown_labels(content: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Returns as metadata what `Evaluation.to_json` says of the labels.

    Without labels, or without intervals, there are fewer entries: Dagster takes no table without a row.
    """
    shown = {
        **shown_tables("labels", short_records(content), label_numbers(content)),
        **shown_tables("intervals", interval_records(content), interval_numbers(content)),
    }
    sentences = notes(content)
    return {**shown, "notes": dg.MetadataValue.text("\n".join(sentences))} if sentences else shown


def every_case(evaluation: Evaluation) -> dg.AssetCheckResult:
    """Returns the check that says which folds are missing, which cases could not be evaluated, and why."""
    missing = f"Not finished: {', '.join(evaluation.missing_folds)}." if evaluation.missing_folds else ""
    return dg.AssetCheckResult(
        check_name=EVALUATED_CHECK,
        passed=not evaluation.problems and not missing,
        severity=dg.AssetCheckSeverity.WARN if evaluation.n_evaluated else dg.AssetCheckSeverity.ERROR,
        description="\n".join(filter(None, [missing, evaluation.problem_text()])) or f"{evaluation.n_evaluated} cases.",
    )
