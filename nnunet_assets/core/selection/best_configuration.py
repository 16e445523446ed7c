"""The configuration to take: which candidate the rule chooses, and what it may be expected to score.

Candidates are experiments and their ensembles, each with and without the postprocessing steps that it earns. They are
compared on the same cases of the same data and splits, by the mean Dice of their foreground, pooled.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.selection.postprocessing import StepEffect
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.text.numbers import fixed, signed
from nnunet_assets.errors import first_offenders

SCHEMA_VERSION = 2
POSTPROCESSED = " + postprocessing"
"""Ends the name of a candidate that is a model with its steps."""


@dataclass(frozen=True)
class Candidate:
    """A candidate beside the best one.

    Attributes:
        name: Of its model, and whether it is with postprocessing.
        model: Of the experiment or ensemble within its dataset.
        members: Names of the experiments that are averaged; one where it is no ensemble.
        steps: Postprocessing steps, in their order.
        mean: Its foreground mean; None: undefined, since it drew nothing where there was nothing.
        n_defined: Scores of cases and labels that are defined, which the mean is of; a step that empties a mask rightly
            makes them fewer.
        behind: How far it is behind the best mean, from 0.
        behind_interval: 95 % confidence interval of that; None for the best itself, and of one patient.
        is_distinguished: Whether that interval lies beyond 0.
        weights_bytes: What its weights take, by which of two candidates the simpler one is told; None: not known.
    """

    name: str
    model: str
    members: tuple[str, ...]
    steps: tuple[Step, ...]
    mean: float | None
    n_defined: int
    behind: float
    behind_interval: Interval | None
    is_distinguished: bool
    weights_bytes: int | None


@dataclass(frozen=True)
class ExpectedScore:
    """What the chosen one may be expected to score; see `honest_number`.

    Attributes:
        mean: Foreground Dice, from all draws of folds, or by leaving one fold out where there are more than 8.
        left_one_out: The same by leaving one fold out.
        interval: 95 % confidence interval of the mean; None with fewer than 6 patients.
        chosen_without: Fold to what the rule takes where that fold is left out.
    """

    mean: float
    left_one_out: float
    interval: Interval | None
    chosen_without: Mapping[str, str]


@dataclass(frozen=True)
class BestConfiguration:
    """The choice among a dataset's candidates.

    Attributes:
        candidates: The best mean first.
        chosen: Name of the candidate that is taken.
        expected: What it may be expected to score; None: not estimated.
        not_expected_because: Why; None: it is.
        left_out: Experiments that are no candidates, each with the reason.
        n_cases: That all candidates validated.
        n_patients: As far as they are known; else each case counts as one.
        postprocessing: Model to the steps that were looked at, on all cases; of those alone that have any.
        made_of: Model to the digest of what its scores are from.
        notes: What else a reader must know.
    """

    dataset: str
    candidates: tuple[Candidate, ...]
    chosen: str
    expected: ExpectedScore | None
    not_expected_because: str | None
    left_out: Mapping[str, str]
    n_cases: int
    n_patients: int
    postprocessing: Mapping[str, tuple[StepEffect, ...]] = field(default_factory=dict)
    made_of: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def chosen_candidate(self) -> Candidate:
        """The candidate that is taken."""
        return next(one for one in self.candidates if one.name == self.chosen)

    @property
    def optimism(self) -> float | None:
        """How much better the chosen one's own mean is than what may be expected of it; None: not known."""
        own = self.chosen_candidate.mean
        return None if self.expected is None or own is None else own - self.expected.mean

    def headline(self) -> str:
        """Returns the result in one line: `2d of 3 candidates; expect Dice 0.871 (0.850 to 0.890)`."""
        n = len(self.candidates)
        taken = f"{self.chosen}, of {n} candidate{'' if n == 1 else 's'} on {self.n_cases} cases"
        if self.expected is None:
            return f"{taken}; no expected Dice: {self.not_expected_because}"
        interval = self.expected.interval
        ends = f" ({fixed(interval.low)} to {fixed(interval.high)})" if interval else ""
        return f"{taken}; expected Dice {fixed(self.expected.mean)}{ends}"

    def reasons(self) -> list[str]:
        """Returns in full sentences why this one is taken, and what its number means."""
        sentences = [self._why()]
        if len(self.candidates) > 1 and self.expected is not None and self.optimism is not None:
            own, expected = _dice(self.chosen_candidate), fixed(self.expected.mean)
            sentences.append(
                f"Its own mean of {own} is one of {len(self.candidates)} that were chosen from. Expected of a model "
                f"that is chosen so is {expected} ({signed(-self.optimism)}); leaving one fold out gives "
                f"{fixed(self.expected.left_one_out)}."
            )
            sentences.append(f"Left out one at a time, the folds choose: {_votes(self.expected.chosen_without)}.")
        return [*sentences, *self._steps()]

    def _steps(self) -> list[str]:
        """Returns what postprocessing does to the chosen model."""
        effects = self.postprocessing.get(self.chosen_candidate.model)
        if effects is None:
            return []
        if not (taken := [one for one in effects if one.is_taken]):
            return ["No postprocessing step is taken: none gains what can be told from chance without harm to a label."]
        steps = [f"{one.owner or 'the whole foreground'} ({signed(one.gain, 4)})" for one in taken]
        sentence = f"Of {first_offenders(steps, 20)} only the largest component stays"
        if self.chosen_candidate.steps:
            return [f"{sentence}."]
        return [f"{sentence} in {self.chosen_candidate.model}{POSTPROCESSED}, which is not better by more than chance."]

    def _why(self) -> str:
        best, chosen = self.candidates[0], self.chosen_candidate
        if len(self.candidates) == 1:
            return f"{best.name} is the only candidate."
        if chosen is not best:
            return (
                f"{best.name} has the best mean Dice ({_dice(best)}). {chosen.name} ({_dice(chosen)}) cannot be told "
                "from it on these patients, and is the simplest of those that cannot."
            )
        equals = [one.name for one in self.candidates[1:] if not one.is_distinguished]
        if not equals:
            return f"{best.name} has the best mean Dice, and is told from every other."
        others, verb = first_offenders(equals, 3), "is" if len(equals) == 1 else "are"
        return f"{best.name} has the best mean Dice; {others} cannot be told from it, and {verb} not simpler."

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values; what is undefined is null."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "optimism": self.optimism}


def _votes(chosen_without: Mapping[str, str]) -> str:
    names = list(chosen_without.values())
    counts = {name: names.count(name) for name in names}
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} in {n} of {len(names)}" for name, n in ordered)


def _dice(candidate: Candidate) -> str:
    return "undefined" if candidate.mean is None else fixed(candidate.mean)
