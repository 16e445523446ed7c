"""What an evaluation says: a row a case and label, what each label's metrics come to over the cases, what went wrong.

Means, quartiles, SDs and intervals are over the cases in which the metric is defined; `n` counts all of them. No case
is lost in silence: one that could not be evaluated is a problem with its sentence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals, Metrics
from nnunet_assets.core.evaluation.metric_policy import DEFINITIONS, METRICS_VERSION, MetricPolicy
from nnunet_assets.core.statistics.estimate import SAME_SCORE, Bootstrap
from nnunet_assets.core.statistics.scoring import COUNTED, DIAGONAL_MM, WHERE_BOTH, is_undefined_by_failure
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.core.text.numbers import apart, fixed, measured
from nnunet_assets.core.text.places import Places
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.errors import EvaluationError, first_offenders

SCHEMA = 2
"""1 had the ends of an interval beside its mean, as `ci_low` and `ci_high`; it is read all the same."""

PROBLEMS_SHOWN = 10

CASE_COLUMNS: dict[str, type] = {"nsd_tolerance_mm": float, DIAGONAL_MM: float}
"""What is no metric: by what NSD was measured, and what no distance of the case can exceed."""

COLUMNS: dict[str, type] = {"fold": str, "case": str, "label": str, **METRIC_COLUMNS, **CASE_COLUMNS}
"""The columns of the table of cases; `fold` is empty where predictions belong to none."""


SHOWN_METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 [mm]",
    "assd_mm": "ASSD [mm]",
    "nsd": "NSD",
    "hausdorff95_surface_mm": "HD95, surface [mm]",
    "assd_surface_mm": "ASSD, surface [mm]",
    "nsd_surface": "NSD, surface",
    "volume_error_ml": "Volume error [ml]",
}
"""Metric to its name in tables, a row or a column each."""


def metric_title(metric: str) -> str:
    """Returns a metric's name for people: `HD95 [mm]`, `Sensitivity`."""
    return SHOWN_METRICS.get(metric, metric.capitalize())


FIRST_METRICS = ("dice", "iou", "hd95_mm", "assd_mm", "nsd", "volume_error_ml")
"""Of `SHOWN_METRICS` those that a table has room for with a column each."""


def measured_title(metric: str) -> str:
    """Returns the name of a mean over what was measured, which of a distance is not the mean that is compared."""
    return metric_title(metric) + (f", {WHERE_BOTH}" if is_undefined_by_failure(metric) else "")


def counted_title(metric: str) -> str:
    """Returns the name of a mean as it is compared: `Dice`, `HD95 [mm], missed ones counted`."""
    return metric_title(metric) + (f", {COUNTED}" if is_undefined_by_failure(metric) else "")


EVALUATED_METRICS = (
    *("hd95_mm", "assd_mm", "nsd", "hausdorff95_surface_mm", "assd_surface_mm", "nsd_surface"),
    *("sensitivity", "precision"),
)
"""Those that say which of two predictions is the better one, and that no summary has."""


@dataclass(frozen=True)
class Problem:
    """Something that kept a case, or a fold, from being evaluated, or that casts doubt on it.

    Attributes:
        message: Full sentences that stand alone.
        fold: `fold_0` ...; None where no fold is to blame.
        case: None where the problem is not that of one case.
    """

    message: str
    fold: str | None = None
    case: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation of many cases says as a whole.

    Attributes:
        subject: What was evaluated, for people.
        policy: How.
        n_expected: Cases that should have been evaluated.
        n_evaluated: Cases that are in the table.
        folds: The folds whose cases they are; empty for predictions of no fold.
        missing_folds: Expected folds that are not finished.
        labels: By label name, over all cases; None where the folds must not be taken together.
        problems: All that went wrong.
        bootstrap: How the intervals of the means were made; None: there are none.
        n_computed: Cases whose voxels were read in this run; the others were known. No part of the result.
    """

    subject: str
    policy: MetricPolicy
    n_expected: int
    n_evaluated: int
    folds: tuple[str, ...]
    missing_folds: tuple[str, ...]
    labels: Mapping[str, LabelTotals] | None
    problems: tuple[Problem, ...]
    bootstrap: Bootstrap | None = None
    n_computed: int = 0

    def headline(self) -> str:
        """Returns the result in one line: `49 of 50 cases, organ Dice 0.912, HD95 1.4 mm; 1 problem`."""
        parts = [f"{self.n_evaluated} of {self.n_expected} cases"]
        for name, totals in list((self.labels or {}).items())[:3]:
            dice, hd95_mm = totals.estimate("dice"), totals.estimate("hd95_mm")
            shown = [] if dice.mean is None else [f"Dice {fixed(dice.mean)}"]
            where = f" {WHERE_BOTH}" if hd95_mm.n_defined < dice.n_defined else ""
            shown += [] if hd95_mm.mean is None else [f"HD95 {measured(hd95_mm.mean)} mm{where}"]
            parts.append(f"{name} {' and '.join(shown) or 'undefined'}")
        n_problems = len(self.problems)
        return ", ".join(parts) + (f"; {count_text(n_problems, 'problem')}" if n_problems else "")

    def refuse_empty(self) -> None:
        """Passes where at least one case was evaluated.

        Raises:
            EvaluationError: None was; the message holds the problems.
        """
        if not self.n_evaluated:
            raise EvaluationError(
                f"None of the {self.n_expected} cases of {self.subject} could be evaluated:\n{self.problem_text()}"
            )

    def problem_text(self) -> str:
        """Returns the first few problems, one a line, and how many more there are; the empty string without any."""
        hidden = len(self.problems) - PROBLEMS_SHOWN
        more = [f"... and {hidden} more problems."] if hidden > 0 else []
        return "\n".join([*(problem.message for problem in self.problems[:PROBLEMS_SHOWN]), *more])

    def to_json(self, places: Places = Places()) -> dict[str, Any]:  # noqa: B008 - frozen
        """Returns the evaluation as JSON values; what is undefined is null, and no text has an absolute path in it."""
        return {
            "schema": SCHEMA,
            "subject": places.hidden(self.subject),
            "metrics_version": METRICS_VERSION,
            "policy": self.policy.to_json(),
            "policy_digest": self.policy.digest,
            "definitions": DEFINITIONS,
            "folds": list(self.folds),
            "missing_folds": list(self.missing_folds),
            "n_expected": self.n_expected,
            "n_evaluated": self.n_evaluated,
            "bootstrap": None if self.bootstrap is None else self.bootstrap.to_json(),
            "labels": None if self.labels is None else {name: found.to_json() for name, found in self.labels.items()},
            "problems": places.hidden_in([asdict(problem) for problem in self.problems]),
        }


def table_row(
    fold: str | None, case: str, label_name: str, metrics: Metrics, policy: MetricPolicy
) -> dict[str, str | float | int | None]:
    """Returns one row of the table of cases, by `COLUMNS`."""
    tolerance_mm = policy.labels[label_name].nsd_tolerance_mm
    return {"fold": fold, "case": case, "label": label_name, **metrics, "nsd_tolerance_mm": tolerance_mm}


def score_difference(found: Mapping[str, Metrics], recorded: Mapping[str, LabelScore]) -> str | None:
    """Returns where a case scores otherwise than nnU-Net recorded when it was validated; None: nowhere."""
    differing = [
        f"{name} {field.name} {' instead of '.join(_shown(found[name][field.name], getattr(score, field.name)))}"
        for name, score in recorded.items()
        for field in fields(score)
        if not _is_same(found[name][field.name], getattr(score, field.name))
    ]
    return first_offenders(differing) if differing else None


def _is_same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) <= SAME_SCORE


def _shown(one: float | None, other: float | None) -> tuple[str, str]:
    if one is not None and other is not None:
        return apart(one, other)
    texts = ["undefined" if score is None else fixed(score) for score in (one, other)]
    return texts[0], texts[1]
