"""The test set's MLflow run, seen from its asset."""

from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.mlflow_runs import may_share_files, tracked
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.predictions_run import log_test_set

if TYPE_CHECKING:
    from nnunet_assets.assets.predictions.evaluated_test_set import EvaluatedEnsemble
    from nnunet_assets.nnunet.predictions.ensemble import Ensemble


def track_test_set(
    settings: Settings, ensemble: "Ensemble", evaluated: "EvaluatedEnsemble", context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the test set's run up to date; a tracking server that fails costs a warning, not the predictions."""
    return tracked(
        settings,
        ensemble.experiment.dataset,
        context,
        lambda client, **place: log_test_set(
            client,
            ensemble.experiment,
            evaluated.gaps,
            **place,
            folds=ensemble.folds,
            files=evaluated.gap_files if may_share_files(settings) else (),
            dagster_run_id=context.run.run_id,
        ),
    )
