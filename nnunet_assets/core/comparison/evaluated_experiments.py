"""Experiments to be compared by a metric of their evaluation, such as HD95, in place of Dice and IoU."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.evaluation.evaluation import score_difference
from nnunet_assets.core.evaluation.label_totals import Metrics
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM, counted, is_failure, scale_of
from nnunet_assets.core.summary.label_summary import METRICS
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import EvaluationError, first_offenders

CaseMetrics = Mapping[str, Mapping[str, Metrics]]
"""By case and label the metrics."""


def columns_of(metric: str) -> list[str]:
    """Returns what `evaluated_experiment` needs of the table of cases."""
    return [*METRICS, metric]


def largest_diagonal_mm(experiments: Iterable[CaseMetrics]) -> float | None:
    """Returns the diagonal of the largest image; None where a case is nowhere said to be of any size.

    Args:
        experiments: The rows of their evaluations, with `DIAGONAL_MM` where it is known.
    """
    known: dict[str, float] = {}
    for cases in experiments:
        for case, labels in cases.items():
            sizes = [size for found in labels.values() if (size := found.get(DIAGONAL_MM)) is not None]
            known[case] = max([known.get(case, 0.0), *sizes])
    return max(known.values()) if known and all(known.values()) else None


def evaluated_experiment(
    summary: ScoredSummary,
    content: Mapping[str, Any],
    cases: CaseMetrics,
    metric: str,
    *,
    diagonal_mm: float | None = None,
) -> ComparedExperiment:
    """Returns the experiment with this metric of its cases, in place of the summary's scores.

    What a missed or hallucinated object counts, `scoring` says.

    Args:
        summary: Of the experiment.
        content: What its `evaluation.json` holds.
        cases: The rows of that evaluation, with `columns_of(metric)`.
        metric: Of `evaluation.EVALUATED_METRICS`.
        diagonal_mm: Of the largest image of all experiments that are compared; None: not known.

    Raises:
        EvaluationError: The evaluation is not of the summary's folds, lacks some of their cases, was made when these
            had other predictions, or misses an object by a distance of which nobody knows how large it could be.
    """
    title, remedy = summary.experiment.title, "Materialize cv_evaluation again."
    if content["folds"] != list(summary.completed_folds):
        raise EvaluationError(
            f"The evaluation of {title} is of {first_offenders(content['folds'])}, its summary of "
            f"{first_offenders(summary.completed_folds)}. {remedy}"
        )
    results = [case for fold in summary.folds for case in fold.cases]
    if missing := [case.case_id for case in results if case.case_id not in cases]:
        raise EvaluationError(
            f"The evaluation of {title} lacks {len(missing)} of {len(results)} cases: {first_offenders(missing)}. Its "
            "check every_case_is_evaluated says why."
        )
    for case in results:
        if difference := score_difference(cases[case.case_id], case.scores):
            raise EvaluationError(
                f"The evaluation of {title} is not of the folds of its summary: case {case.case_id} scores "
                f"{difference}. {remedy}"
            )
    scale = scale_of(metric, diagonal_mm)
    failures = [
        case.case_id for case in results for name in summary.labels if is_failure(metric, cases[case.case_id][name])
    ]
    if failures and scale.worst is None:
        raise EvaluationError(
            f"{title} misses or hallucinates an object in {first_offenders(list(dict.fromkeys(failures)))}, which "
            "counts as far off as the largest image is across. Its evaluation is of an older version, which does not "
            f"say how large the images are. {remedy}"
        )
    scores = {
        name: {case.case_id: counted(metric, cases[case.case_id][name], scale) for case in results}
        for name in summary.labels
    }
    return replace(ComparedExperiment.of(summary), scores={metric: scores})
