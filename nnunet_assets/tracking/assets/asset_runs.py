"""Which MLflow run shows what: raw data, a summary, a test set, a comparison; and what each shows of its asset."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.search.trial_files import STATES
from nnunet_assets.core.summary.fold_means import FoldMeansSummary
from nnunet_assets.core.summary.label_summary import LabelSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.tracking.assets.asset_run import AssetRun
from nnunet_assets.tracking.runs.cross_validation_run import search_run_tags
from nnunet_assets.tracking.runs.run_names import cross_validation_run_name, run_title, search_run_name
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.dataset.intake import IntakeReport
    from nnunet_assets.core.evaluation.gap import Gap
    from nnunet_assets.core.search.report import SearchReport
    from nnunet_assets.core.selection.best_configuration import BestConfiguration


def raw_data_run(report: "IntakeReport") -> AssetRun:
    """Returns the one run of a raw dataset as it was last looked at; its metrics name labels and codes, never cases."""
    run = _dataset_run("raw_dataset", report.dataset, subject="The raw data of", name="raw data")
    return run.showing(_raw_data_metrics(report), {names.RAW_HASH: report.content_hash})


def comparison_run(dataset: str, comparison: "Comparison | None" = None) -> AssetRun:
    """Returns the one run of the comparison of a dataset's experiments.

    Args:
        dataset: Whose experiments are compared.
        comparison: What it is to show; None: files are added only.
    """
    run = _dataset_run("comparison", dataset, subject="The comparison of", name="comparison")
    if comparison is None:
        return run
    return run.showing({names.EXPERIMENTS_COMPARED: len(comparison.experiments), names.CASES: comparison.n_cases})


def best_configuration_run(found: "BestConfiguration") -> AssetRun:
    """Returns the one run of the choice among a dataset's models."""
    run = _dataset_run("best_configuration", found.dataset, subject="The choice of", name="best configuration")
    expected = found.expected
    interval = expected.interval if expected else None
    metrics = {
        names.CANDIDATES: float(len(found.candidates)),
        names.CASES: float(found.n_cases),
        names.CHOSEN_DICE: found.chosen_candidate.mean,
        names.EXPECTED_DICE: expected.mean if expected else None,
        names.EXPECTED_DICE_LOW: interval.low if interval else None,
        names.EXPECTED_DICE_HIGH: interval.high if interval else None,
        names.OPTIMISM: found.optimism,
    }
    return run.showing(metrics, {names.CHOSEN: found.chosen})


def summary_run(experiment: Experiment, summary: ScoredSummary | FoldMeansSummary | None = None) -> AssetRun:
    """Returns the one run of an experiment's cross-validation.

    Args:
        experiment: Whose folds they are.
        summary: What it is to show; None: files are added only.
    """
    run = _experiment_run(
        "cv_summary", experiment, subject="The summary of", name=cross_validation_run_name(experiment)
    )
    if summary is None:
        return run
    tags = {names.FOLDS: ",".join(summary.completed_folds), names.VALIDATION: summary.what}
    if isinstance(summary, FoldMeansSummary):
        return run.showing(_means_metrics(summary), tags)
    if summary.training_only is not None:
        tags[names.TRAINING_ONLY_CASES] = str(len(summary.training_only))
    return run.showing(summary_metrics(summary), tags)


def test_set_run(experiment: Experiment, folds: Sequence[str], gaps: "Sequence[Gap]") -> AssetRun:
    """Returns the one run of an experiment's test set, as the ensemble of these folds does on it.

    A run of its own: the summary's forgets what its summary does not have.
    """
    run = _experiment_run("test_set", experiment, subject="The test set of", name=f"{run_title(experiment)} test set")
    return run.showing(gap_metrics(gaps), {names.FOLDS: ",".join(folds)})


def search_run(search: Experiment, report: "SearchReport") -> AssetRun:
    """Returns the one run of a search, below which those of its trials' folds lie.

    Args:
        search: What its trials have in common, named by the search.
        report: What it is to show.
    """
    name = search.name_in_dataset
    tags = search_run_tags(search, name)
    identity = {key: tags.pop(key) for key in (names.RUN_TYPE, names.SEARCH)}
    best = report.best
    states = [one.trial.state for one in report.trials]
    metrics: dict[str, float | None] = {
        names.TRIALS: float(len(report.trials)),
        # Those of none, too: what was logged before would stay.
        **{names.TRIALS_IN_STATE.replace("STATE", state): float(states.count(state)) for state in STATES},
        names.EPOCHS_TRAINED: float(report.n_epochs),
        names.TRAINING_HOURS: report.hours,
        names.SEARCH_PSEUDO_DICE: best.score if best else None,
    }
    run = AssetRun(f"The search {search.title}", search.dataset, identity, search_run_name(name), tags)
    chosen = {names.CHOSEN: best.name} if best else {}
    return run.showing(metrics, {names.FOLD: report.fold, **chosen})


def _dataset_run(run_type: names.RunType, dataset: str, *, subject: str, name: str) -> AssetRun:
    identity = {names.RUN_TYPE: run_type, names.DATASET: dataset}
    return AssetRun(f"{subject} {dataset}", dataset, identity, f"{dataset} {name}")


def _experiment_run(run_type: names.RunType, experiment: Experiment, *, subject: str, name: str) -> AssetRun:
    tags = names.experiment_tags(experiment, run_type)
    return AssetRun(
        f"{subject} {experiment.title}",
        experiment.dataset,
        identity={key: tags.pop(key) for key in (names.RUN_TYPE, names.EXPERIMENT)},
        name=name,
        tags=tags,
    )


def _raw_data_metrics(report: "IntakeReport") -> Mapping[str, float]:
    metrics: dict[str, float] = {
        names.CASES: len(report.cases),
        names.ERRORS: report.n_errors,
        names.WARNINGS: report.n_warnings,
    }
    for finding in report.findings:
        series = f"{names.FINDINGS}/{finding.code}"
        metrics[series] = metrics.get(series, 0) + 1
    for label_name in report.foreground if report.voxels_checked else ():
        volumes = sorted(report.volumes_ml(label_name))
        metrics[f"{names.LABEL_CASES}/{label_name}"] = len(volumes)
        if volumes:
            metrics[f"{names.LABEL_VOLUME_ML}/{label_name}"] = volumes[len(volumes) // 2]
    return metrics


def summary_metrics(summary: ScoredSummary) -> dict[str, float | None]:
    """Returns what MLflow shows of a summary: series to value; None is undefined."""
    metrics: dict[str, float | None] = {
        names.FOLDS_FINISHED: float(len(summary.completed_folds)),
        # What a fold's run calls the mean over its validation cases: one column for both.
        names.VAL_DICE_MEAN: summary.foreground.dice.pooled.mean,
    }
    named: list[tuple[str | None, LabelSummary]] = [(None, summary.foreground), *summary.labels.items()]
    for label_name, label in named:
        for score, found in (("dice", label.dice), ("iou", label.iou)):
            interval = found.pooled.interval
            metrics |= {
                names.summary_series(score, "mean_pooled", label_name): found.pooled.mean,
                names.summary_series(score, "sd_pooled", label_name): found.pooled.sd,
                names.summary_series(score, "median_pooled", label_name): found.pooled.median,
                names.summary_series(score, "ci95_low_pooled", label_name): interval.low if interval else None,
                names.summary_series(score, "ci95_high_pooled", label_name): interval.high if interval else None,
                # Of a hold-out it would be the pooled mean under another name.
                names.summary_series(score, "mean_over_folds", label_name): (
                    None if summary.is_hold_out else found.over_folds.mean
                ),
                names.summary_series(score, "sd_over_folds", label_name): found.over_folds.sd,
            }
    return metrics


def _means_metrics(summary: FoldMeansSummary) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {names.FOLDS_FINISHED: float(len(summary.completed_folds))}
    for measure in summary.measures:
        for label_name in (None, *summary.label_names(measure)):
            estimate = summary.over_folds(measure, label_name)
            metrics[names.summary_series(measure, "mean_over_folds", label_name)] = estimate.mean
            metrics[names.summary_series(measure, "sd_over_folds", label_name)] = estimate.sd
    return metrics


def gap_metrics(gaps: "Sequence[Gap]") -> Mapping[str, float | None]:
    """Returns what MLflow shows of a test set: series to value; None is undefined."""
    metrics: dict[str, float | None] = {names.TEST_CASES: float(gaps[0].test.n)}
    for gap in gaps:
        interval = gap.test.interval
        values: dict[names.GapStatistic, float | None] = {
            "mean": gap.test.mean,
            "ci95_low": interval.low if interval else None,
            "ci95_high": interval.high if interval else None,
            "gap": gap.difference,
        }
        metrics |= {names.gap_series(gap.metric, statistic, gap.label): value for statistic, value in values.items()}
    return metrics
