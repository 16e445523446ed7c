"""`preprocessed_plans`: nnU-Net's fingerprint, plans and preprocessed cases."""

from collections.abc import Sequence
from importlib.metadata import version

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import shown_table
from nnunet_assets.assets.types import PLANS
from nnunet_assets.core.dataset.configurations import PLANNERS
from nnunet_assets.core.files.layout import dataset_key, plans_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.nnunet.plans.plan_card import plan_row
from nnunet_assets.nnunet.preparation.planning import PreparedCases, PreparedPlans
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.dataset.prepare import Wanted, plan
from nnunet_assets.workflows.values.asset_values import AssetPlace, read_value

DESCRIPTION = """nnU-Net's fingerprint, plans, and the cases preprocessed for the configurations that experiments want.

What is up to date is left alone: plans are made again only where the raw data, the planner or nnU-Net's version
changed, cases only where the plans or the raw data did. Plans that somebody edited are never overwritten."""

PLANNED_CHECK = "has_every_wanted_configuration"


class PlansRunConfig(dg.Config):
    """What one run of the planning may ask for."""

    despite_changes: bool = Field(
        default=False,
        description="Make anew what another minor version of nnU-Net made, though folds were trained on it.",
    )


def build_preprocessed_plans(
    *, config: DatasetConfig, plans: str, configurations: Sequence[str], trainers: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset and one plans identifier, for all experiments that use them."""
    declared = config
    key = dg.AssetKey(plans_key(config.dataset, plans))
    check = dg.AssetCheckSpec(
        PLANNED_CHECK, asset=key, description="The planner dropped none of the configurations that experiments want."
    )

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(dataset_key(config.dataset, "raw_dataset"))],
        group_name=group,
        dagster_type=PLANS,
        io_manager_key=VALUES_KEY,
        kinds={"json", "numpy"},
        owners=config.owners,
        description=DESCRIPTION,
        check_specs=[check],
        code_version=f"nnunetv2 {version('nnunetv2')}, {PLANNERS.get(plans, plans)}: {', '.join(configurations)}",
    )
    def preprocessed_plans(
        context: dg.AssetExecutionContext, config: PlansRunConfig, project: ProjectResource
    ) -> dg.MaterializeResult:
        wanted = Wanted(plans, configurations, trainers)
        with shown_as_failure():
            planned = plan(
                project.settings, declared, wanted, LogProgress(context.log), despite_changes=config.despite_changes
            )
        made = planned.made
        return dg.MaterializeResult(
            value=read_value(AssetPlace(project.settings, key.path)),
            data_version=dg.DataVersion(planned.digest),
            metadata=_metadata(made),
            check_results=[_check(made, plans)],
        )

    return preprocessed_plans


def _metadata(made: PreparedPlans) -> dict[str, dg.MetadataValue]:
    rows = [
        {
            "configuration": configuration,
            **plan_row(plan),
            "batch size": plan.get("batch_size"),
            "GPU memory (GB, planner's estimate)": made.gpu_memory_gb.get(configuration),
            **_cases(made.cases[configuration]),
        }
        for configuration, plan in made.planned.items()
    ]
    target = made.gpu_memory_gb.get("target")
    why = {configuration: cases.why for configuration, cases in made.cases.items() if cases.why}
    return {
        "configurations": shown_table(rows),
        "made_now": dg.MetadataValue.text(", ".join(made.made) or "nothing: all was up to date"),
        **({"why": dg.MetadataValue.md("\n".join(f"- {name}: {text}" for name, text in why.items()))} if why else {}),
        **({"padding": dg.MetadataValue.text("\n".join(map(str, made.padding)))} if made.padding else {}),
        "cases_preprocessed": dg.MetadataValue.int(sum(cases.n_made for cases in made.cases.values())),
        "cases_reused": dg.MetadataValue.int(sum(cases.n_reused for cases in made.cases.values())),
        **({"gpu_memory_target_gb": dg.MetadataValue.float(float(target))} if target is not None else {}),
        "nnunet_integrity_check": dg.MetadataValue.text("agrees" if made.is_verified else "did not run"),
        "plans_hash": dg.MetadataValue.text(made.plans_hash),
    }


def _cases(cases: PreparedCases) -> dict[str, int | float]:
    return {
        "cases": cases.n_made + cases.n_reused,
        "preprocessed now": cases.n_made,
        "size (MB)": round(cases.n_bytes / 1e6, 1),
        "size_bytes": cases.n_bytes,
    }


def _check(made: PreparedPlans, plans: str) -> dg.AssetCheckResult:
    reasons = " ".join(dict.fromkeys(made.dropped.values()))
    return dg.AssetCheckResult(
        check_name=PLANNED_CHECK,
        passed=not made.dropped,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"The plans {plans} do not have {', '.join(made.dropped)}. {reasons} Take the experiments that "
        "want it out of the YAML."
        if made.dropped
        else "Every wanted configuration is planned and preprocessed.",
    )
