"""What Dagster records of folds that were adopted: those of declared experiments, in the project's results."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.fold.fold_metadata import plotted
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.fold.recorded_folds import recorded_folds
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.nnunet.adoption.adoption import Adopted
from nnunet_assets.nnunet.results.results import result_of
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import Settings


def record_adopted(settings: Settings, adopted: Sequence[Adopted]) -> None:
    """Records folds in the project's instance, unless it has them as they are now."""
    with open_instance(settings.project) as instance:
        known = {
            fold.folder: fold.data_version
            for key in {fold_model_key(fold.experiment) for fold in adopted}
            for fold in recorded_folds(instance, key)
        }
        for fold in adopted:
            # The same again would have every summary made anew.
            if known.get(fold.folder) != fold.finished.sha256:
                instance.report_runless_asset_event(materialization(fold))


def materialization(adopted: Adopted) -> dg.AssetMaterialization:
    """Returns what Dagster records of an adopted fold, with what is unknown of it."""
    manifest = adopted.manifest
    summary = summarize(adopted.experiment, [manifest.fold], [result_of(adopted.finished)])
    dice = summary.foreground.dice.pooled.mean
    return dg.AssetMaterialization(
        asset_key=fold_model_key(adopted.experiment),
        partition=manifest.fold,
        description="Trained elsewhere, and adopted with what its files prove.",
        metadata={
            **({} if dice is None else {"dice": plotted(dice)}),
            "validation_cases": dg.MetadataValue.int(summary.n_cases),
            "epochs": dg.MetadataValue.int(manifest.n_epochs),
            "device": dg.MetadataValue.text(manifest.device),
            "folder": dg.MetadataValue.path(adopted.folder),
            "unknown": dg.MetadataValue.text(", ".join(manifest.details["unknown"])),
        },
        tags={"dagster/data_version": adopted.finished.sha256},
    )
