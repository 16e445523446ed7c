"""`cv_summary`: what the finished folds say together, from the first one on."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.events.tables import number_metadata, shown_table, shown_tables
from nnunet_assets.assets.fold.fold_metadata import plotted
from nnunet_assets.assets.fold.partitions import folds_key
from nnunet_assets.assets.fold.recorded_folds import recorded_commits
from nnunet_assets.assets.summary.summary_checks import summary_check_results, summary_check_specs
from nnunet_assets.assets.types import CV_SUMMARY
from nnunet_assets.core.summary.cross_validation import CVSummary
from nnunet_assets.core.summary.scored_summary import Computing, ScoredSummary
from nnunet_assets.core.text.amounts import bytes_text, duration_text
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.reports.tables.summary_tables import dice_numbers, to_short_records, to_spread_records
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.interval_notes import interval_notes
from nnunet_assets.reports.text.summary_notes import coverage_notes
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.results.check_summary import check_summary
from nnunet_assets.workflows.results.summarize import make_summary

SEEN_METADATA = "newest_fold_event"
"""Storage id of the newest fold event that a summary has seen; the refresh sensor compares it."""

DESCRIPTION = """The result of the cross-validation, from the first finished fold on.

Dice and IoU of whole validation cases, by label and for the foreground: pooled over all cases, and over folds (mean
and SD of the fold means). Undefined scores (label absent in reference and prediction) are left out and counted, never
taken for 0. The pooled means have 95 % confidence intervals, from patients where the splits know groups, else from
cases, that allow for failures which none of them shows. Folds that were not trained on the same raw data, plans, splits
and settings are refused by name."""


def build_cv_summary(
    *, config: ExperimentConfig | EnsembleConfig, folds: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment, or of an ensemble of several."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "cv_summary"])
    fold_model = folds_key(experiment)

    @dg.asset(
        key=key,
        deps=[fold_model],
        group_name=group,
        dagster_type=CV_SUMMARY,
        io_manager_key=VALUES_KEY,
        kinds={"json", "mlflow"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
        check_specs=summary_check_specs(key),
    )
    def cv_summary(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        # Before the folds are read: the refresh sensor looks again for what comes meanwhile.
        seen = _newest_event(context.instance, fold_model)
        with shown_as_failure():
            made = make_summary(
                settings.roots,
                experiment,
                folds,
                destination=destination_of(mlflow, settings).declared(config),
                dagster_run_id=context.run.run_id,
            )
        summary = made.summary
        context.log.info(summary.headline())
        stopped = {fold.fold: fold.stopped_early for fold in summary.folds if fold.stopped_early}
        if stopped:
            context.log.warning(f"Not every fold was trained to its last epoch: {stopped}.")
        recorded = recorded_commits(context.instance, experiment)
        return dg.MaterializeResult(
            value=CVSummary.of(summary),
            data_version=dg.DataVersion(made.digest),
            metadata={
                "headline": dg.MetadataValue.text(summary.headline()),
                **_covered(summary),
                **shown_tables("dice", to_short_records(summary), dice_numbers(summary)),
                "spread": shown_table(to_spread_records(summary)),
                **_about_intervals(summary),
                "worst_cases": dg.MetadataValue.md(_worst_cases(summary)),
                "computing": dg.MetadataValue.text(_computing(summary.computing)),
                **_took(summary.computing),
                **_plotted(summary),
                **({"stopped_early": dg.MetadataValue.json(stopped)} if stopped else {}),
                "file": dg.MetadataValue.path(made.file),
                SEEN_METADATA: dg.MetadataValue.int(seen),
                **run_metadata(made.tracked, context.log),
            },
            check_results=summary_check_results(check_summary(settings.roots, summary, recorded)),
        )

    return cv_summary


def _about_intervals(summary: ScoredSummary) -> dict[str, dg.MetadataValue]:
    if summary.bootstrap is None:
        return {}
    return {"intervals": dg.MetadataValue.text(" ".join(interval_notes(summary.bootstrap)))}


def _worst_cases(summary: ScoredSummary) -> str:
    worst = (f"{escape_markdown(case.case_id)} ({case.fold}): {case.dice:.3f}" for case in summary.worst_cases())
    return "\n".join(f"1. {line}" for line in worst)


def _computing(took: Computing) -> str:
    """Returns what the folds took: `6 epochs; training 3 min 57 s; peak memory (gpu) 1.7 GiB in one fold`."""
    times = [f"{name} {duration_text(seconds)}" for name, seconds in took.seconds.items()]
    memory = [f"peak memory ({kind}) {bytes_text(n)} in one fold" for kind, n in took.peak_memory_bytes.items()]
    gpu = [] if took.gpu_hours is None else [f"{fixed(took.gpu_hours, 1)} GPU hours of {took.gpu_hours_n_folds} folds"]
    return "; ".join([f"{took.epochs} epochs", *times, *gpu, *memory])


def _took(took: Computing) -> dict[str, dg.MetadataValue]:
    """Returns the same as numbers; what is not known is left out."""
    numbers = {
        "epochs": took.epochs,
        **{f"{section}_seconds": seconds for section, seconds in took.seconds.items()},
        **{f"peak_memory_{kind}_bytes": n for kind, n in took.peak_memory_bytes.items()},
        "gpu_hours": took.gpu_hours,
    }
    return {name: number_metadata(number) for name, number in numbers.items() if number is not None}


def _covered(summary: ScoredSummary) -> dict[str, dg.MetadataValue]:
    """Returns what the scores are of, where that is not each case of the split."""
    covered = coverage_notes(summary)
    return {"covers": dg.MetadataValue.text(" ".join(covered))} if covered else {}


def _plotted(summary: ScoredSummary) -> dict[str, dg.MetadataValue]:
    """Returns what Dagster draws over time; an undefined mean is left out."""
    dice = summary.foreground.dice
    means = {"dice_mean_pooled": dice.pooled.mean}
    if not summary.is_hold_out:
        means["dice_mean_over_folds"] = dice.over_folds.mean
    return {
        "folds_finished": dg.MetadataValue.int(len(summary.completed_folds)),
        **{name: plotted(mean) for name, mean in means.items() if mean is not None},
    }


def _newest_event(instance: dg.DagsterInstance, fold_model: dg.AssetKey) -> int:
    records = instance.get_asset_records([fold_model])
    return (records[0].asset_entry.last_materialization_storage_id or 0) if records else 0
