"""`cv_summary`: what the finished folds say together, from the first one on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import run_metadata
from nnunet_assets.assets.fold.recorded_folds import recorded_folds
from nnunet_assets.assets.summary.summary_checks import summary_check_specs, summary_checks
from nnunet_assets.core.files.atomic_files import remove_unfinished, write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.summary.cv_summary import CvSummary, summarize
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.reports.tables.case_scores import cases_to_csv, cases_to_parquet
from nnunet_assets.reports.tables.summary_tables import to_short_records, to_spread_records
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.interval_notes import interval_notes
from nnunet_assets.reports.text.summary_notes import coverage_notes
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination

SEEN_METADATA = "newest_fold_event"
"""Storage id of the newest fold event that a summary has seen; the refresh sensor compares it."""

DESCRIPTION = """The result of the cross-validation, from the first finished fold on.

Dice and IoU of whole validation cases, by label and for the foreground: pooled over all cases, and over folds (mean
and SD of the fold means). Undefined scores (label absent in reference and prediction) are left out and counted, never
taken for 0. The pooled means have 95 % confidence intervals, from patients where the splits know groups, else from
cases, that allow for failures which none of them shows. Folds that were not trained on the same raw data, plans, splits
and settings are refused by name."""


def build_cv_summary(*, config: ExperimentConfig, folds: Sequence[str], group: str) -> dg.AssetsDefinition:
    """Returns the asset of one experiment."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "cv_summary"])
    fold_model = dg.AssetKey([*experiment.key_prefix, "fold_model"])

    @dg.asset(
        key=key,
        deps=[fold_model],
        group_name=group,
        kinds={"json", "mlflow"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version="3",
        check_specs=summary_check_specs(key),
    )
    def cv_summary(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        settings = project.settings
        # numpy takes a tenth of a second in every process that loads the definitions.
        from nnunet_assets.core.summary.intervals import with_recorded_patients

        folder = experiment.summary_folder(settings.roots)
        with shown_as_failure(), _sole_summary(folder):
            seen = _newest_event(context.instance, fold_model)
            finished = summarize(experiment, folds, collect_fold_results(settings.roots, experiment, folds))
            summary = with_recorded_patients(settings.roots, finished)
            content = summary.to_json()
            write_atomically(folder / "cv_cases.csv", cases_to_csv(summary).encode())
            write_atomically(folder / "cv_cases.parquet", cases_to_parquet(summary))
            # Last: a summary whose cases are those of an earlier one would be taken for whole.
            write_json_atomically(folder / "cv_summary.json", content)
        context.log.info(summary.headline())
        stopped = {fold.fold: fold.stopped_early for fold in summary.folds if fold.stopped_early}
        if stopped:
            context.log.warning(f"Not every fold was trained to its last epoch: {stopped}.")
        tracked = bring_up_to_date(
            Destination.of(settings),
            summary_run(experiment, summary),
            [folder / "cv_summary.json", folder / "cv_cases.csv"],
            dagster_run_id=context.run.run_id,
        )
        recorded = {fold.folder.name: fold.data_version for fold in recorded_folds(context.instance, fold_model)}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256(content)),
            metadata={
                "headline": dg.MetadataValue.text(summary.headline()),
                **_covered(summary),
                "dice": dg.MetadataValue.table([dg.TableRecord(row) for row in to_short_records(summary)]),
                "spread": dg.MetadataValue.table([dg.TableRecord(row) for row in to_spread_records(summary)]),
                **_about_intervals(summary),
                "worst_cases": dg.MetadataValue.md(_worst_cases(summary)),
                "computing": dg.MetadataValue.json(asdict(summary.computing)),
                **_plotted(summary),
                **({"stopped_early": dg.MetadataValue.json(stopped)} if stopped else {}),
                "file": dg.MetadataValue.path(folder / "cv_summary.json"),
                SEEN_METADATA: dg.MetadataValue.int(seen),
                **run_metadata(tracked, context.log),
            },
            check_results=summary_checks(settings.roots, summary, recorded),
        )

    return cv_summary


@contextmanager
def _sole_summary(folder: Path) -> Iterator[None]:
    """Keeps a second summary of the experiment waiting: who writes last must have read last."""
    if not folder.parent.is_dir():  # no fold was ever trained, which the summary says
        yield
        return
    folder.mkdir(exist_ok=True)
    with kernel_lock(folder / ".cv_summary.lock"):
        remove_unfinished(folder)
        yield


def _about_intervals(summary: CvSummary) -> dict[str, dg.MetadataValue]:
    if summary.bootstrap is None:
        return {}
    return {"intervals": dg.MetadataValue.text(" ".join(interval_notes(summary.bootstrap)))}


def _worst_cases(summary: CvSummary) -> str:
    worst = (f"{escape_markdown(case.case_id)} ({case.fold}): {case.dice:.3f}" for case in summary.worst_cases())
    return "\n".join(f"1. {line}" for line in worst)


def _covered(summary: CvSummary) -> dict[str, dg.MetadataValue]:
    """Returns what the scores are of, where that is not each case of the split."""
    covered = coverage_notes(summary)
    return {"covers": dg.MetadataValue.text(" ".join(covered))} if covered else {}


def _plotted(summary: CvSummary) -> dict[str, dg.MetadataValue]:
    """Returns what Dagster draws over time; an undefined mean is left out."""
    dice = summary.foreground.dice
    means = {"dice_mean_pooled": dice.pooled.mean}
    if not summary.is_hold_out:
        means["dice_mean_over_folds"] = dice.over_folds.mean
    return {
        "folds_finished": dg.MetadataValue.int(len(summary.completed_folds)),
        **{name: dg.MetadataValue.float(mean) for name, mean in means.items() if mean is not None},
    }


def _newest_event(instance: dg.DagsterInstance, fold_model: dg.AssetKey) -> int:
    records = instance.get_asset_records([fold_model])
    return (records[0].asset_entry.last_materialization_storage_id or 0) if records else 0
