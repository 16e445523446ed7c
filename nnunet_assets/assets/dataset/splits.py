"""`splits`: which cases train and which validate, in each fold."""

from enum import Enum

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import shown_table
from nnunet_assets.assets.types import SPLITS
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import dataset_key, fold_key
from nnunet_assets.core.splits.splits import OnNewCases, SplitSettings, coverage, n_cases_with
from nnunet_assets.core.splits.splits_files import settings_version
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.nnunet.splits.splits_final import Splits
from nnunet_assets.nnunet.splits.trained_folds import cost_sentence
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.dataset.prepare import SplitDataset, split

DESCRIPTION = """The folds of the cross-validation: `splits_final.json` in `nnUNet_preprocessed`.

Written before any fold starts, as nnU-Net would write it or as the dataset's `splits` declare. A file of your own is
kept, and checked. What folds were trained on is not changed without your word: `on_new_cases` in the declaration, or
`on_change` in the run's config."""


class OnChange(Enum):
    """The words of `core.splits.splits.OnNewCases`; Dagster's run config knows enumerations, not literals."""

    refuse = "refuse"
    extend = "extend"
    renew = "renew"

    @property
    def word(self) -> OnNewCases:
        """Returns the literal."""
        return self.value


class SplitsRunConfig(dg.Config):
    """What one run of the splits may ask for."""

    on_change: OnChange | None = Field(
        default=None,
        description="What to do this time where folds were trained on another split: refuse; extend, which deals new "
        "cases to the folds there are; renew, which splits all cases anew. Empty: as the dataset declares.",
    )


def build_splits(*, config: DatasetConfig, settings: SplitSettings, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one declared dataset."""
    declared = config
    # The case list decides who is split; only stratification reads the labels.
    labels = ["raw_dataset"] if settings.stratify else []

    @dg.asset(
        key=dg.AssetKey(dataset_key(config.dataset, "splits")),
        deps=[dg.AssetKey(dataset_key(config.dataset, name)) for name in ("case_list", *labels)],
        group_name=group,
        dagster_type=SPLITS,
        io_manager_key=VALUES_KEY,
        kinds={"json"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=settings_version(settings),
    )
    def splits(
        context: dg.AssetExecutionContext, config: SplitsRunConfig, project: ProjectResource
    ) -> dg.MaterializeResult:
        with shown_as_failure():
            on_change = config.on_change.word if config.on_change else None
            found = split(project.settings, declared, LogProgress(context.log), on_change)
        made = found.made
        context.log.info(f"The split was {made.what}.")
        return dg.MaterializeResult(
            value=list(made.folds),
            data_version=dg.DataVersion(json_sha256(list(made.folds))),
            metadata={
                "folds": shown_table(_rows(found)),
                "made": dg.MetadataValue.text(made.what),
                "covers": dg.MetadataValue.text(coverage(made.folds, found.raw.cases).in_words()),
                "how": dg.MetadataValue.text(_how(made)),
                "file": dg.MetadataValue.path(found.file),
                **_history(made),
            },
        )

    return splits


def _rows(found: SplitDataset) -> list[dict[str, str | int]]:
    """Returns a row a fold; of each label the number of validation cases that have it."""
    made, raw, groups = found.made, found.raw, found.groups
    rows: list[dict[str, str | int]] = []
    for index, fold in enumerate(made.folds):
        row: dict[str, str | int] = {"fold": fold_key(index), "train": len(fold["train"]), "val": len(fold["val"])}
        if names := sorted({groups[case] for case in fold["val"] if case in groups}):
            row["groups in val"] = names[0] if len(names) == 1 else len(names)
        for label in next(iter(raw.label_volumes_ml.values()), {}):
            row[f"{label} in val"] = n_cases_with(label, fold["val"], raw.label_volumes_ml)
        rows.append(row)
    # Dagster's tables have one type a column.
    if len({type(row.get("groups in val")) for row in rows}) > 1:
        rows = [{**row, "groups in val": str(row.get("groups in val"))} for row in rows]
    return rows


def _how(made: Splits) -> str:
    settings = made.settings
    if not made.record.generations:
        return "the user's own file, which this project did not make or which was edited since; checked, not changed"
    if settings.file:
        return f"read from {settings.file}"
    if settings.leave_one_group_out and settings.groups:
        return f"one group left out at a time, by {settings.groups.title}"
    ways = [
        *([f"in groups by {settings.groups.title}"] if settings.groups else []),
        *(["stratified by presence and volume of the labels"] if settings.stratify else []),
    ]
    return f"{', '.join(ways) or 'as nnU-Net does'}, seed {settings.seed}"


def _history(made: Splits) -> dict[str, dg.MetadataValue]:
    rows: list[dict[str, str | int]] = [
        {
            "when": generation.made_at,
            "what": generation.origin,
            "settings": ", ".join(f"{name}={value}" for name, value in generation.settings.items()),
            "cases added": sum(len(cases) for cases in generation.added.values()),
            "cases removed": len(generation.removed),
        }
        for generation in made.record.generations
    ]
    return {
        **({"history": shown_table(rows)} if rows else {}),
        **({"superseded": dg.MetadataValue.text(cost_sentence(made.superseded))} if made.superseded else {}),
    }
