"""`splits`: which cases train and which validate, in each fold."""

import dagster as dg

from nnunet_assets.assets.failures import shown_as_failure
from nnunet_assets.config import DatasetConfig
from nnunet_assets.core.layout import dataset_key, fold_key
from nnunet_assets.core.provenance import json_sha256
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.nnunet.splits import ensure_splits
from nnunet_assets.resources import ProjectResource

DESCRIPTION = """The folds of the cross-validation: `splits_final.json` in `nnUNet_preprocessed`.

Written before any fold starts, with nnU-Net's own seed, so that the file is the one nnU-Net would write. A file that
is there already is kept: your own splits are respected, and checked (every case validated exactly once, no case on
both sides)."""


def build_splits(*, config: DatasetConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one declared dataset."""

    @dg.asset(
        key=dg.AssetKey(dataset_key(config.dataset, "splits")),
        deps=[dg.AssetKey(dataset_key(config.dataset, "case_list"))],
        group_name=group,
        kinds={"json"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=f"folds={config.folds}",
    )
    def splits(project: ProjectResource) -> dg.MaterializeResult:
        prepared = PreparedDataset(project.settings.roots, config.dataset)
        with shown_as_failure():
            folds = ensure_splits(prepared.folder, prepared.read_raw().cases, config.folds)
        rows = [
            dg.TableRecord({"fold": fold_key(i), "train": len(fold["train"]), "val": len(fold["val"])})
            for i, fold in enumerate(folds)
        ]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(folds)),
            metadata={
                "folds": dg.MetadataValue.table(rows),
                "file": dg.MetadataValue.path(prepared.folder / "splits_final.json"),
            },
        )

    return splits
