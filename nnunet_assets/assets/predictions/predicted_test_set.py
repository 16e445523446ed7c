"""`test_predictions`: the test set, predicted by all folds together, and the gap to the validation cases.

On disk, in the model's `nnunet_assets/`: `test_predictions/` (see `nnunet.prediction_store`) and `test_evaluation/`
with what `cv_evaluation` writes of its cases, `gap.json` and `gap.csv`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.fold.fold_model import fold_model_key
from nnunet_assets.assets.summary.cv_evaluation import EVALUATED_CHECK, every_case, progress_log, shown_labels
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import TRAINING_POOL, Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.processes.device_lease import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.project_folder.dagster_home import pool_limit_of
from nnunet_assets.reports.tables.gap_tables import gap_headline, gap_notes, gap_records, what_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import test_set_run
from nnunet_assets.tracking.store.destination import Destination

if TYPE_CHECKING:
    from nnunet_assets.assets.predictions.evaluated_test_set import EvaluatedEnsemble
    from nnunet_assets.nnunet.predictions.checked_test_set import CheckedTestSet
    from nnunet_assets.nnunet.predictions.ensemble import Ensemble
    from nnunet_assets.nnunet.predictions.prediction import Predicted

DESCRIPTION = """The test set (`imagesTs`), predicted by all folds together: nnU-Net's ensemble.

Every expected fold must be finished. What was predicted by the same folds of the same images is not predicted again,
and a prediction that was interrupted goes on with the next case. Where `labelsTs` has references, the predictions are
evaluated as the validation cases are, and the gap to the cross-validation, or the hold-out, is shown: test minus
validation, by label and metric, each with its number of cases. The intervals are of the test means alone."""

NO_REFERENCES = "The test set has no references (labelsTs): it is predicted, and not evaluated."


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
        kinds={"pytorch", "parquet", "mlflow"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=f"2-{json_sha256(measured)[:16]}",
        # In a run with the summary it comes last: all else takes less time, and does not fail where a fold is missing.
        op_tags={"dagster/priority": "-2"},
        pool=TRAINING_POOL,
        check_specs=[dg.AssetCheckSpec(EVALUATED_CHECK, asset=key, description="Every test case could be evaluated.")],
    )
    def test_predictions(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        # numpy, which whoever loads the definitions has no use for.
        from nnunet_assets.assets.predictions.evaluated_test_set import evaluate_predictions, evaluate_validation
        from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set
        from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble

        settings, say = project.settings, context.log.info
        with shown_as_failure():
            ensemble = finished_ensemble(settings.roots, experiment, folds)
            description = parse_dataset_json(ensemble.folder / DATASET_JSON)
            reading = progress_log(say, done="of the test set read")
            test_set = read_test_set(settings.roots, experiment.dataset, description, reading, ensemble.folder)
            if test_set.warnings:
                context.log.warning(findings_text(test_set.warnings))
            references, tested = test_set.references, None
            # Before the work: it is known already, as a rule, and whoever evaluates at the same time is met now.
            validation = evaluate_validation(settings.roots, ensemble, dataset, say) if references else None
            predicted = _predict(
                ensemble,
                test_set,
                description.file_ending,
                device=config.device,
                settings=settings,
                context=context,
            )
            if references and validation:
                tested = evaluate_predictions(
                    ensemble, predicted, references, validation, roots=settings.roots, dataset=dataset, say=say
                )
        tracked = _tracked(settings, ensemble, tested, context) if tested else {}
        context.log.info(gap_headline(tested.gaps, what_of(folds)) if tested else NO_REFERENCES)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(_version(predicted, tested)),
            metadata={**_shown(predicted, test_set), **_scores(tested, what_of(folds)), **tracked},
            check_results=[every_case(tested.evaluation) if tested else _not_evaluated()],
        )

    return test_predictions


def _predict(
    ensemble: "Ensemble",
    test_set: "CheckedTestSet",
    file_ending: str,
    *,
    device: str,
    settings: Settings,
    context: dg.AssetExecutionContext,
) -> "Predicted":
    from nnunet_assets.nnunet.predictions.prediction import predict_test_set

    say = context.log.info
    predicted = predict_test_set(
        ensemble,
        test_set,
        file_ending,
        settings.roots,
        device=device,
        # As for a fold: whoever trains beside it shares the processors with it.
        environment={
            FOLDS_AT_ONCE_VARIABLE: str(pool_limit_of(context.instance) or 1),
            **settings.child_environment(),
        },
        on_progress=progress_log(say, done="predicted"),
        say=context.log.warning,
    )
    say(f"{predicted.n_predicted} of {len(test_set.cases)} test cases were predicted now, the others before.")
    return predicted


def _tracked(
    settings: Settings, ensemble: "Ensemble", evaluated: "EvaluatedEnsemble", context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    tracked = bring_up_to_date(
        Destination.of(settings),
        test_set_run(ensemble.experiment, ensemble.folds, evaluated.gaps),
        evaluated.gap_files,
        dagster_run_id=context.run.run_id,
    )
    return run_metadata(tracked, context.log)


def _version(predicted: "Predicted", tested: "EvaluatedEnsemble | None") -> str:
    evaluated = [tested.evaluation.to_json(), file_sha256(tested.gap_files[-1])] if tested else []
    return json_sha256([predicted.digest, *evaluated])


def _shown(predicted: "Predicted", test_set: "CheckedTestSet") -> dict[str, dg.MetadataValue]:
    return {
        "cases": dg.MetadataValue.int(len(test_set.cases)),
        "cases_predicted": dg.MetadataValue.int(predicted.n_predicted),
        "folder": dg.MetadataValue.path(predicted.folder),
        **({"device": dg.MetadataValue.text(predicted.device)} if predicted.device else {}),
        **({"warnings": dg.MetadataValue.text(findings_text(test_set.warnings))} if test_set.warnings else {}),
    }


def _scores(tested: "EvaluatedEnsemble | None", what: str) -> dict[str, dg.MetadataValue]:
    if tested is None:
        return {"headline": dg.MetadataValue.text(NO_REFERENCES)}
    evaluation = tested.evaluation
    return {
        "headline": dg.MetadataValue.text(gap_headline(tested.gaps, what)),
        "gap": dg.MetadataValue.table([dg.TableRecord(row) for row in gap_records(tested.gaps, what)]),
        "gap_notes": dg.MetadataValue.text("\n".join(gap_notes(tested.gaps, what))),
        **shown_labels(evaluation.to_json()),
        **{f"file_{path.suffix[1:]}": dg.MetadataValue.path(path) for path in tested.gap_files},
        **({"problems": dg.MetadataValue.text(evaluation.problem_text())} if evaluation.problems else {}),
    }


def _not_evaluated() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=EVALUATED_CHECK, passed=True, description=NO_REFERENCES)
