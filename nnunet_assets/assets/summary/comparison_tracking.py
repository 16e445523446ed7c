"""The comparison's MLflow run, seen from the assets that make its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.events.mlflow_runs import may_share_files, tracked
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.comparison_run import add_to_comparison, log_comparison

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison


def track_comparison(
    settings: Settings, comparison: "Comparison", files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the dataset's comparison run up to date; a tracking server that fails costs a warning."""
    return tracked(
        settings,
        comparison.dataset,
        context,
        lambda client, **place: log_comparison(
            client,
            comparison.dataset,
            **place,
            n_experiments=len(comparison.experiments),
            n_cases=comparison.n_cases,
            files=files if may_share_files(settings) else (),
            dagster_run_id=context.run.run_id,
        ),
    )


def upload_to_comparison(
    settings: Settings, dataset: str, files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Adds files to that run, where files may go there; a tracking server that fails costs a warning."""
    if not may_share_files(settings):
        return {}
    return tracked(
        settings, dataset, context, lambda client, **place: add_to_comparison(client, dataset, files, **place)
    )
