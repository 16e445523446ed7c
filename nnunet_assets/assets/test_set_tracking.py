"""The test set's MLflow run, seen from its asset."""

from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.settings import Settings
from nnunet_assets.tracking.client import connect, get_or_create_experiment, is_local, run_url
from nnunet_assets.tracking.failures import explain
from nnunet_assets.tracking.test_set_run import log_test_set

if TYPE_CHECKING:
    from nnunet_assets.assets.test_set_evaluation import EvaluatedEnsemble
    from nnunet_assets.nnunet.ensemble import Ensemble


def track_test_set(
    settings: Settings, ensemble: "Ensemble", evaluated: "EvaluatedEnsemble", context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the test set's run up to date; a tracking server that fails costs a warning, not the predictions."""
    may_share = settings.share_files or is_local(settings.tracking_uri)
    experiment_name = settings.tracking_experiment(ensemble.experiment.dataset)
    try:
        client = connect(settings.tracking_uri, settings.artifacts)
        experiment_id = get_or_create_experiment(client, experiment_name, settings.artifacts)
        run_id = log_test_set(
            client,
            ensemble.experiment,
            evaluated.gaps,
            experiment_name=experiment_name,
            artifacts=settings.artifacts,
            folds=ensemble.folds,
            files=evaluated.gap_files if may_share else (),
            dagster_run_id=context.run.run_id,
        )
    except Exception as error:  # noqa: BLE001 (whatever a tracking server may do, the predictions stand)
        problem = explain(error, settings.tracking_uri).sentence
        context.log.warning(problem)
        return {"mlflow_problem": dg.MetadataValue.text(problem)}
    url = run_url(settings.tracking_ui, experiment_id, run_id)
    return {"mlflow_run": dg.MetadataValue.url(url) if url else dg.MetadataValue.text(run_id)}
