"""The configuration to take: which candidate the rule chooses, and what it may be expected to score.

Candidates are compared on the same cases of the same data and splits, by the mean Dice of their foreground, pooled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment, compatible, shared_scores
from nnunet_assets.core.selection.choice import Units
from nnunet_assets.core.selection.honest_number import MAX_EXACT_FOLDS, honest_number
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.text.numbers import fixed, signed
from nnunet_assets.errors import SummaryError, first_offenders

SCHEMA_VERSION = 1
METRIC = "dice"


@dataclass(frozen=True)
class Candidate:
    """A candidate beside the best one.

    Attributes:
        name: Of the experiment within its dataset.
        mean: Its foreground mean; None: undefined, since it drew nothing where there was nothing.
        behind: How far it is behind the best mean, from 0.
        behind_interval: 95 % confidence interval of that; None for the best itself, and of one patient.
        is_distinguished: Whether that interval lies beyond 0.
        weights_bytes: Size of its checkpoint, by which of two candidates the simpler one is told; None: not known.
    """

    name: str
    mean: float | None
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
        return sentences

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
        others = first_offenders(equals, 3)
        return f"{best.name} has the best mean Dice; {others} cannot be told from it, and is not simpler."

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values; what is undefined is null."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "optimism": self.optimism}


def best_configuration(
    dataset: str,
    experiments: Sequence[ComparedExperiment],
    weights_bytes: Mapping[str, int | None],
    left_out: Mapping[str, str],
) -> BestConfiguration:
    """Returns the choice among some experiments.

    Args:
        dataset: Of all of them.
        experiments: The candidates, in the order of their declaration.
        weights_bytes: Name to the size of its checkpoint; None: not known, so that it is simpler than nothing.
        left_out: Experiments that are no candidates, with the reason.

    Raises:
        SummaryError: There is no candidate, no two of several may be compared, or no label has a Dice anywhere.
    """
    if not experiments:
        reasons = "".join(f" {name}: {reason}." for name, reason in left_out.items())
        raise SummaryError(f"No experiment of {dataset} has a complete summary to be chosen by.{reasons}")
    chosen, odd = compatible(experiments)
    shared = shared_scores(chosen)
    scores = shared.scores[METRIC]
    if np.isnan(scores).all():
        raise SummaryError(f"No label of {dataset} has a Dice in any case: no reference and no prediction holds one.")
    fold_of = {case: fold for fold, cases in chosen[0].validation.items() for case in cases}
    folds = [fold_of[case] for case in shared.cases]
    patients = shared.patients or shared.cases
    sizes = [weights_bytes[one.name] for one in chosen]
    units = Units.of(scores, folds, patients, [np.inf if size is None else size for size in sizes])
    found = honest_number(units)
    fold_names = sorted(set(folds))
    expected = None
    if not isinstance(found, str):
        without = {fold_names[fold]: shared.names[one] for fold, one in found.by_fold.items()}
        expected = ExpectedScore(found.mean, found.left_one_out, found.interval, without)
    everything = np.ones((1, len(units.fold)))
    return BestConfiguration(
        dataset=dataset,
        candidates=_candidates(units, everything, shared.names, weights_bytes),
        chosen=shared.names[int(units.chosen(everything)[0])],
        expected=expected,
        not_expected_because=found if isinstance(found, str) else None,
        left_out={**left_out, **odd},
        n_cases=len(shared.cases),
        n_patients=units.n_patients,
        notes=(*shared.notes, *_notes(units, is_known=shared.patients is not None)),
    )


def _candidates(
    units: Units, everything: Any, names: Sequence[str], weights_bytes: Mapping[str, int | None]
) -> tuple[Candidate, ...]:
    found = units.differences(everything)
    best = int(found.best[0])
    candidates = []
    for place, name in enumerate(names):
        mean, behind, reach = (float(one[0, place]) for one in (found.means, found.behind, found.reach))
        interval = Interval(round(behind - reach, 9), round(behind + reach, 9)) if np.isfinite(reach) else None
        candidates.append(
            Candidate(
                name=name,
                mean=None if np.isnan(mean) else mean,
                behind=behind,
                behind_interval=None if place == best else interval,
                is_distinguished=bool(found.is_distinguished[0, place]),
                weights_bytes=weights_bytes[name],
            )
        )
    return tuple(sorted(candidates, key=lambda one: (one.behind, one is not candidates[best])))


def _notes(units: Units, *, is_known: bool) -> list[str]:
    sentences = []
    if not is_known:
        sentences.append("Whose the cases are is not known: each counts as a patient of its own.")
    if units.n_folds > MAX_EXACT_FOLDS:
        sentences.append(
            f"Of {units.n_folds} folds, more than {MAX_EXACT_FOLDS}, the expected Dice is that of leaving one fold out."
        )
    return sentences


def _votes(chosen_without: Mapping[str, str]) -> str:
    names = list(chosen_without.values())
    counts = {name: names.count(name) for name in names}
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} in {n} of {len(names)}" for name, n in ordered)


def _dice(candidate: Candidate) -> str:
    return "undefined" if candidate.mean is None else fixed(candidate.mean)
