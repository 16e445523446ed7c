"""`preprocessed_plans`: nnU-Net's fingerprint, plans and preprocessed cases."""

from collections.abc import Sequence
from importlib.metadata import version

import dagster as dg

from nnunet_assets.assets.failures import shown_as_failure
from nnunet_assets.config import DatasetConfig
from nnunet_assets.core.layout import dataset_key, plans_key
from nnunet_assets.core.provenance import json_sha256
from nnunet_assets.nnunet.planning import PLANNERS, PreparedPlans, prepare
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.resources import ProjectResource

DESCRIPTION = """nnU-Net's fingerprint, plans, and the cases preprocessed for the configurations that experiments want.

What is up to date is left alone: plans are made again only where the raw data, the planner or nnU-Net's version
changed, cases only where the plans or the raw data did. Plans that somebody edited are never overwritten."""

PLANNED_CHECK = "has_every_wanted_configuration"


def build_preprocessed_plans(
    *, config: DatasetConfig, plans: str, configurations: Sequence[str], trainers: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset and one plans identifier, for all experiments that use them."""
    key = dg.AssetKey(plans_key(config.dataset, plans))
    check = dg.AssetCheckSpec(
        PLANNED_CHECK, asset=key, description="The planner dropped none of the configurations that experiments want."
    )

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(dataset_key(config.dataset, "raw_dataset"))],
        group_name=group,
        kinds={"json", "numpy"},
        owners=config.owners,
        description=DESCRIPTION,
        check_specs=[check],
        code_version=f"nnunetv2 {version('nnunetv2')}, {PLANNERS.get(plans, plans)}: {', '.join(configurations)}",
    )
    def preprocessed_plans(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            made = prepare(
                settings.roots,
                config.dataset,
                plans,
                configurations=configurations,
                trainers=trainers,
                environment=settings.variables,
                on_progress=_ProgressLog(context),
            )
            raw_hash = PreparedDataset(settings.roots, config.dataset).read_raw().content_hash
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256([raw_hash, made.plans_hash])),
            metadata=_metadata(made),
            check_results=[_check(made, plans)],
        )

    return preprocessed_plans


class _ProgressLog:
    """Logs every tenth of a configuration's cases once."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._logged: dict[str, int] = {}

    def __call__(self, configuration: str, done: int, n: int) -> None:
        tenth = done * 10 // n
        if tenth > self._logged.get(configuration, 0):
            self._logged[configuration] = tenth
            self._context.log.info(f"Preprocessed {done} of {n} cases for {configuration}.")


def _metadata(made: PreparedPlans) -> dict[str, dg.MetadataValue]:
    rows = [
        dg.TableRecord(
            {
                "configuration": configuration,
                "patch size (voxels)": " x ".join(map(str, plan["patch_size"])),
                "batch size": plan["batch_size"],
                "spacing (mm)": " x ".join(f"{mm:g}" for mm in plan["spacing"]),
            }
        )
        for configuration, plan in made.planned.items()
        if "patch_size" in plan
    ]
    return {
        "configurations": dg.MetadataValue.table(rows) if rows else dg.MetadataValue.text("none"),
        "made_now": dg.MetadataValue.text(", ".join(made.made) or "nothing: all was up to date"),
        "plans_hash": dg.MetadataValue.text(made.plans_hash),
    }


def _check(made: PreparedPlans, plans: str) -> dg.AssetCheckResult:
    dropped = ", ".join(made.dropped)
    return dg.AssetCheckResult(
        check_name=PLANNED_CHECK,
        passed=not made.dropped,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"The plans {plans} do not have {dropped}: nnU-Net's planner drops 3d_lowres where the images are "
        "small enough for 3d_fullres. Take the experiments that want it out of the YAML."
        if dropped
        else "Every wanted configuration is planned and preprocessed.",
    )
