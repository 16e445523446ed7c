"""The checks of `splits`: what a cross-validation promises, looked up in the file as it is when they run.

They are steps of their own, so that they can be run again after somebody edited the file.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.core.files.layout import dataset_key
from nnunet_assets.core.splits.splits import (
    Split,
    SplitSettings,
    check_splits,
    coverage,
    duplicates_across_sides,
    groups_on_both_sides,
    labels_not_validated,
)
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.preparation.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.preparation.raw_records import read_raw
from nnunet_assets.nnunet.preparation.splitting import groups_of
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.resources.project_folder import ProjectResource

ONCE_CHECK = "each_case_is_validated_once"
GROUPS_CHECK = "no_group_on_both_sides"
COPIES_CHECK = "no_copy_on_both_sides"
LABELS_CHECK = "each_label_in_each_validation"


def build_split_checks(*, config: DatasetConfig, settings: SplitSettings) -> dg.AssetChecksDefinition:
    """Returns the checks of one declared dataset; that of groups only where groups are declared."""
    key = dg.AssetKey(dataset_key(config.dataset, "splits"))
    specs = [
        dg.AssetCheckSpec(
            ONCE_CHECK,
            asset=key,
            blocking=True,
            description="No case is validated by two folds, or by a fold that trains on it. Which cases are validated "
            "at all is said.",
        ),
        dg.AssetCheckSpec(
            COPIES_CHECK,
            asset=key,
            blocking=True,
            description="No fold trains on a copy, voxel for voxel, of an image that it validates.",
        ),
        dg.AssetCheckSpec(
            LABELS_CHECK, asset=key, description="Each fold validates at least one case with each label."
        ),
    ]
    if settings.groups:
        description = f"No fold trains on a group that it validates, by {settings.groups.title}."
        specs.append(dg.AssetCheckSpec(GROUPS_CHECK, asset=key, blocking=True, description=description))

    # A name of its own: Dagster derives the op's from the function, and two datasets would share it.
    @dg.multi_asset_check(specs=specs, name="__".join([*key.path, "checks"]).replace("-", "_").replace(".", "_"))
    def split_checks(project: ProjectResource) -> Iterator[dg.AssetCheckResult]:
        prepared = PreparedFolder(project.settings.roots, config.dataset)
        with shown_as_failure():
            raw = read_raw(prepared)
            found = read_splits(prepared.folder)
            groups = groups_of(settings, raw)
        try:
            splits = check_splits(found, raw.cases, settings.n_folds)
        except DatasetError as error:
            splits, unfit = [], str(error)
        else:
            unfit = ""
        yield _result(ONCE_CHECK, [unfit] if unfit else [], coverage(splits, raw.cases).in_words())
        unknown = ["The file does not fit the cases."] if unfit else []
        copies = duplicates_across_sides(splits, raw.image_hashes)
        remedy = "Take one of each pair out of the dataset, or keep them together with `splits.groups`."
        yield _result(
            COPIES_CHECK, unknown or [*copies, *([remedy] if copies else [])], "No case has a copy on the other side."
        )
        yield labels_result(splits, raw, unknown)
        if settings.groups:
            both = groups_on_both_sides(splits, groups)
            yield _result(GROUPS_CHECK, unknown or both, f"{len(set(groups.values()))} groups, each on one side.")

    return split_checks


def _result(name: str, problems: Sequence[str], fine: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(problems) or fine,
    )


def labels_result(splits: Sequence[Split], raw: RawRecord, unknown: Sequence[str]) -> dg.AssetCheckResult:
    """Returns whether each fold validates each label; an error only where one validates none.

    Args:
        splits: The folds.
        raw: Whose label volumes count.
        unknown: Why nothing can be said; empty: it can.
    """
    missing = labels_not_validated(splits, raw.label_volumes_ml)
    labels = next(iter(raw.label_volumes_ml.values()), {})
    without_any = (
        sorted(set.intersection(*map(set, missing.values()))) if labels and set(missing) == set(labels) else []
    )
    sentences = [f"{label!r} is in no validation case of {', '.join(folds)}." for label, folds in missing.items()]
    if without_any:
        sentences.append(f"No validation case of {', '.join(without_any)} has any label at all.")
    if sentences:
        sentences.append(
            "Its dice is undefined there. `splits: {stratify: true}` spreads labels where there are enough."
        )
    fine = "Each label is in each validation fold." if raw.label_volumes_ml else "Unknown: the labels were not read."
    return dg.AssetCheckResult(
        check_name=LABELS_CHECK,
        passed=not sentences and not unknown,
        # A fold that measures nothing at all, in place of one that lacks a number.
        severity=dg.AssetCheckSeverity.ERROR if without_any else dg.AssetCheckSeverity.WARN,
        description="\n".join([*unknown, *sentences]) or fine,
        metadata={"labels": dg.MetadataValue.json(missing)},
    )
