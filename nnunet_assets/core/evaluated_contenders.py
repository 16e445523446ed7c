"""Experiments to be compared by a metric of their evaluation, such as HD95, in place of Dice and IoU."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnunet_assets.core.contenders import Contender
from nnunet_assets.core.cv_summary import METRICS, CvSummary
from nnunet_assets.core.evaluation import score_difference
from nnunet_assets.core.label_totals import Metrics
from nnunet_assets.errors import EvaluationError, first_offenders

CaseMetrics = Mapping[str, Mapping[str, Metrics]]
"""By case and label the metrics."""


def columns_of(metric: str) -> list[str]:
    """Returns what `evaluated_contender` needs of the table of cases."""
    return [*METRICS, metric]


def evaluated_contender(summary: CvSummary, content: Mapping[str, Any], cases: CaseMetrics, metric: str) -> Contender:
    """Returns the experiment with this metric of its cases, in place of the summary's scores.

    Args:
        summary: Of the experiment.
        content: What its `evaluation.json` holds.
        cases: The rows of that evaluation, with `columns_of(metric)`.
        metric: Of `evaluation.EVALUATED_METRICS`.

    Raises:
        EvaluationError: The evaluation is not of the summary's folds, lacks some of their cases, or was made when these
            had other predictions.
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
    scores = {name: {case.case_id: cases[case.case_id][name][metric] for case in results} for name in summary.labels}
    return replace(Contender.of(summary), scores={metric: scores})
