"""`test_predictions`: the test set, predicted by all folds together, and the gap to the validation cases."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import shown_tables
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.summary.cv_evaluation import EVALUATED_CHECK, every_case, shown_labels
from nnunet_assets.assets.types import TEST_PREDICTIONS
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import TRAINING_POOL, Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.project_folder.instance_state import pool_limit_of
from nnunet_assets.reports.tables.gap_tables import gap_notes, gap_numbers, gap_records
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.predict import NO_REFERENCES, PredictedTestSet, predict_test_set
from nnunet_assets.workflows.values.asset_values import AssetPlace, read_value

DESCRIPTION = """The test set (`imagesTs`), predicted by all folds together: nnU-Net's ensemble.

Every expected fold must be finished. What was predicted by the same folds of the same images is not predicted again,
and a prediction that was interrupted goes on with the next case. Where `labelsTs` has references, the predictions are
evaluated as the validation cases are, and the gap to the cross-validation, or the hold-out, is shown: test minus
validation, by label and metric, each with its number of cases. The intervals are of the test means alone."""


def build_test_predictions(
    *, config: ExperimentConfig, dataset: DatasetConfig, folds: Sequence[str], previous: Experiment | None, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset; `previous` is the stage of a cascade that it starts from."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "test_predictions"])
    before = [dg.AssetKey([*experiment.key_prefix, "cv_evaluation"])]
    if previous:
        before.append(dg.AssetKey([*previous.key_prefix, "test_predictions"]))
    measured = {"nsd_tolerance_mm": dataset.nsd_tolerance_mm, "lesion_labels": dataset.lesion_labels}

    @dg.asset(
        key=key,
        deps=[fold_model_key(experiment), *before],
        group_name=group,
        dagster_type=TEST_PREDICTIONS,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "parquet", "mlflow"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=f"2-{json_sha256(measured)[:16]}",
        # In a run with the summary it comes last: all else takes less time, and does not fail where a fold is missing.
        op_tags={"dagster/priority": "-2"},
        pool=TRAINING_POOL,
        check_specs=[dg.AssetCheckSpec(EVALUATED_CHECK, asset=key, description="Every test case could be evaluated.")],
    )
    def test_predictions(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            found = predict_test_set(
                settings,
                experiment,
                folds,
                dataset,
                device=config.device,
                # As for a fold: whoever trains beside it shares the processors with it.
                environment={
                    FOLDS_AT_ONCE_VARIABLE: str(pool_limit_of(context.instance) or 1),
                    **settings.child_environment(),
                },
                progress=LogProgress(context.log),
                destination=destination_of(mlflow, settings).declared(config),
                dagster_run_id=context.run.run_id,
            )
        context.log.info(found.headline)
        return dg.MaterializeResult(
            value=read_value(AssetPlace(settings, key.path)),
            data_version=dg.DataVersion(found.digest()),
            metadata={**_shown(found), **_scores(found), **run_metadata(found.tracked, context.log)},
            check_results=[every_case(found.scores.evaluation) if found.scores else _not_evaluated()],
        )

    return test_predictions


def _shown(found: PredictedTestSet) -> dict[str, dg.MetadataValue]:
    predicted = found.predicted
    return {
        "cases": dg.MetadataValue.int(found.n_cases),
        "cases_predicted": dg.MetadataValue.int(predicted.n_predicted),
        "folder": dg.MetadataValue.path(predicted.folder),
        **({"device": dg.MetadataValue.text(predicted.device)} if predicted.device else {}),
        **({"warnings": dg.MetadataValue.text(findings_text(found.warnings))} if found.warnings else {}),
        "headline": dg.MetadataValue.text(found.headline),
    }


def _scores(found: PredictedTestSet) -> dict[str, dg.MetadataValue]:
    scores, what = found.scores, found.what
    if scores is None:
        return {}
    return {
        **shown_tables("gap", gap_records(scores.gaps, what), gap_numbers(scores.gaps)),
        "gap_notes": dg.MetadataValue.text("\n".join(gap_notes(scores.gaps, what))),
        **shown_labels(scores.content),
        **{f"file_{path.suffix[1:]}": dg.MetadataValue.path(path) for path in scores.gap_files},
        **({"problems": dg.MetadataValue.text(scores.evaluation.problem_text())} if scores.evaluation.problems else {}),
    }


def _not_evaluated() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=EVALUATED_CHECK, passed=True, description=NO_REFERENCES)
