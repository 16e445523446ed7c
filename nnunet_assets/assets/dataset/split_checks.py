"""The checks of `splits`: what a cross-validation promises, looked up in the file as it is when they run.

They are steps of their own, so that they can be run again after somebody edited the file.
"""

from collections.abc import Iterator

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.core.files.layout import dataset_key
from nnunet_assets.core.splits.split_promises import COPIES, GROUPS, LABELS, ONCE
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.dataset.check import check_split


def build_split_checks(*, config: DatasetConfig, settings: SplitSettings) -> dg.AssetChecksDefinition:
    """Returns the checks of one declared dataset; that of groups only where groups are declared."""
    key = dg.AssetKey(dataset_key(config.dataset, "splits"))
    specs = [
        dg.AssetCheckSpec(
            ONCE,
            asset=key,
            blocking=True,
            description="No case is validated by two folds, or by a fold that trains on it. Which cases are validated "
            "at all is said.",
        ),
        dg.AssetCheckSpec(
            COPIES,
            asset=key,
            blocking=True,
            description="No fold trains on a copy, voxel for voxel, of an image that it validates.",
        ),
        dg.AssetCheckSpec(LABELS, asset=key, description="Each fold validates at least one case with each label."),
    ]
    if settings.groups:
        description = f"No fold trains on a group that it validates, by {settings.groups.title}."
        specs.append(dg.AssetCheckSpec(GROUPS, asset=key, blocking=True, description=description))

    # A name of its own: Dagster derives the op's from the function, and two datasets would share it.
    @dg.multi_asset_check(specs=specs, name="__".join([*key.path, "checks"]).replace("-", "_").replace(".", "_"))
    def split_checks(project: ProjectResource) -> Iterator[dg.AssetCheckResult]:
        with shown_as_failure():
            promises = check_split(project.settings, config, settings)
        for promise in promises:
            yield dg.AssetCheckResult(
                check_name=promise.name,
                passed=not promise.problems,
                severity=dg.AssetCheckSeverity.ERROR if promise.is_grave else dg.AssetCheckSeverity.WARN,
                description=promise.sentence,
                metadata={"labels": dg.MetadataValue.json(promise.details)} if promise.name == LABELS else None,
            )

    return split_checks
