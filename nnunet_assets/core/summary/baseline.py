"""The result that somebody accepted as an experiment's baseline, and how far a later one may fall below it.

On disk: `nnunet_assets/baseline.json` in the model's folder, written when somebody accepts the summary that is there,
and by nothing else: a copy of its pooled Dice, with who accepted it when and the digests of what it was made from.

A Dice is below the baseline where it is lower than the baseline's by more than 0.02 *and* by more than two standard
errors of the baseline's mean (SD / sqrt(n)), where that is of 6 cases or more. Those allow for other cases too, so that
the rule is slow to complain; `comparison` tests differences on shared cases. The 95 % interval is no part of it: it
reaches down for failures that the baseline does not show, and a later summary that has them is what the rule is there
to name. Compared are the folds that the baseline has, and no others: the mean of other folds is one of other cases.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import JsonError
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS, Estimate
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize

SCHEMA_VERSION = 1

MIN_DROP = 0.02
"""In Dice: less is taken for what differs from one training to the next."""

FOREGROUND = "Foreground mean"


@dataclass(frozen=True)
class Score:
    """One pooled Dice beside the baseline's.

    Attributes:
        name: A label's, or `Foreground mean`.
        baseline: The baseline's.
        limit: What it must not be lower than.
        dice: The summary's; None: undefined, or the summary has no such label.
    """

    name: str
    baseline: float
    limit: float
    dice: float | None

    @property
    def is_below(self) -> bool:
        """Whether it is lower than it may be, or undefined."""
        return self.dice is None or self.dice < self.limit


@dataclass(frozen=True)
class Baseline:
    """An accepted result.

    Attributes:
        experiment: What was cross-validated.
        accepted_at: ISO 8601, UTC.
        accepted_by: The name of the user.
        note: Why, in the user's words; may be empty.
        summary_sha256: Digest of the summary, its data version in Dagster.
        inputs: What the folds were made from.
        folds: The folds.
        n_cases: Their validation cases.
        foreground: Pooled Dice of the foreground.
        labels: Pooled Dice by label name.
    """

    experiment: Experiment
    accepted_at: str
    accepted_by: str
    note: str
    summary_sha256: str
    inputs: FoldInputs
    folds: tuple[str, ...]
    n_cases: int
    foreground: Estimate
    labels: Mapping[str, Estimate]

    @classmethod
    def of(cls, summary: ScoredSummary, *, accepted_at: str, accepted_by: str, note: str) -> "Baseline":
        """Returns the baseline that a summary becomes; where folds are missing, it is one of those that are there."""
        return cls(
            experiment=summary.experiment,
            accepted_at=accepted_at,
            accepted_by=accepted_by,
            note=note,
            summary_sha256=json_sha256(summary.to_json()),
            inputs=summary.inputs,
            folds=summary.completed_folds,
            n_cases=summary.n_cases,
            foreground=summary.foreground.dice.pooled,
            labels={name: label.dice.pooled for name, label in summary.labels.items()},
        )

    def missing_folds(self, summary: ScoredSummary) -> list[str]:
        """Returns the folds of the baseline that a summary does not have: without them nothing is compared."""
        return [fold for fold in self.folds if fold not in summary.completed_folds]

    def scores(self, summary: ScoredSummary) -> list[Score]:
        """Returns what the baseline has a Dice of, the foreground first, beside that of the same folds of a summary.

        Args:
            summary: One without `missing_folds`.
        """
        same = [fold for fold in summary.folds if fold.fold in self.folds]
        summary = summarize(summary.experiment, self.folds, same)
        now = {name: label.dice.pooled.mean for name, label in summary.labels.items()}
        dices = [summary.foreground.dice.pooled.mean, *map(now.get, self.labels)]
        named = [(FOREGROUND, self.foreground), *self.labels.items()]
        return [
            Score(name, estimate.mean, _limit(estimate.mean, estimate), dice)
            for (name, estimate), dice in zip(named, dices, strict=True)
            if estimate.mean is not None
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of the file."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Baseline":
        """Reads what `to_json` made.

        Raises:
            ValueError: It has another schema, or is none.
        """
        if not isinstance(content, Mapping) or "schema_version" not in content:
            raise ValueError("not a baseline: it has no schema_version")
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema {content['schema_version']!r}, where {SCHEMA_VERSION} is read")
        values = {key: value for key, value in content.items() if key != "schema_version"}
        try:
            return dataclass_from_json(cls, json.dumps(values))
        except JsonError as error:
            raise ValueError(f"not a baseline: {error}") from error


def _limit(mean: float, estimate: Estimate) -> float:
    n = estimate.n_defined
    two_errors = 2 * estimate.sd / math.sqrt(n) if estimate.sd is not None and n >= MIN_PATIENTS else 0.0
    return mean - max(MIN_DROP, two_errors)
