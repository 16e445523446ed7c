"""Which of nnU-Net's postprocessing steps are taken, for many weightings of the patients at once.

Steps are looked at one after the other, in nnU-Net's order, each on what those before it left. One is taken where

* it improves the foreground: the mean over cases and labels, with its paired 95 % interval (Student's, over the
  patients) above 0. A label that neither mask holds in a case scores 1 there, so that every case counts before and
  after: nnU-Net leaves out what a step empties rightly, and compares means over different cases;
* it worsens the mean of no label or region, its own or another one's;
* being a label's or region's own, it lowers no other one in any case. What it removes becomes background, so that an
  island of a region within another one would become a hole in that.

A label that is in no case has no say, where nnU-Net's mean becomes NaN and its first step is never taken. With fewer
than 6 patients no step is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.evaluation.step_scores import REFERENCE_VOXELS, StepDice, StepPlan
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.selection.choice import Array, Indices, student
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS, SAME_SCORE, Interval
from nnunet_assets.errors import first_offenders


@dataclass(frozen=True)
class LabelEffect:
    """What a step does to one label, over all cases.

    Attributes:
        before: Its mean Dice, undefined scores left out, as nnU-Net has it; None: defined in no case.
        after: Likewise, after the step.
        n_defined_before: Cases that the mean is of.
        n_defined_after: Likewise.
        n_false_before: Cases without the label in which it is drawn.
        n_false_after: Likewise.
        gain: Of the mean over all cases, in which a label that is in neither mask scores 1.
    """

    before: float | None
    after: float | None
    n_defined_before: int
    n_defined_after: int
    n_false_before: int
    n_false_after: int
    gain: float


@dataclass(frozen=True)
class StepEffect:
    """A step that was looked at, after those that were taken before it.

    Attributes:
        step: Its labels.
        owner: The label or region that it is of; None: the whole foreground.
        is_taken: Whether it is.
        because: Why, or why not, in the middle of a sentence.
        gain: Of the foreground mean, as the module says.
        interval: 95 %, paired; None with fewer than 6 patients, and where the step changes no score.
        n_better: Patients whose mean rises.
        n_worse: Patients whose mean falls.
        labels: Of the labels whose scores it may change.
    """

    step: Step
    owner: str | None
    is_taken: bool
    because: str
    gain: float
    interval: Interval | None
    n_better: int
    n_worse: int
    labels: Mapping[str, LabelEffect]


@dataclass(frozen=True)
class PostprocessedScores:
    """The Dice of one model's cases after every combination of steps that matters.

    Attributes:
        plan: The steps.
        scores: By label in the plan's order, `(n_combinations, n_cases)`, NaN where undefined.
        is_in_reference: `(n_labels, n_cases)`, whether a case's reference holds the label.
        unit: `(n_cases,)`, which unit of the weightings a case belongs to.
    """

    plan: StepPlan
    scores: tuple[Array, ...]
    is_in_reference: NDArray[np.bool_]
    unit: Indices
    _effects: "dict[tuple[int, int], _Effect]" = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, plan: StepPlan, cases: Sequence[StepDice], unit: Indices, label_names: Sequence[str]
    ) -> "PostprocessedScores":
        """Returns the scores of some cases.

        Args:
            plan: The steps.
            cases: In the order of `unit`.
            unit: See above.
            label_names: The labels that candidates are compared by; those of the plan, or fewer.
        """
        plan = StepPlan(
            plan.steps,
            plan.owners,
            {name: plan.labels[name] for name in label_names},
            {name: plan.matters[name] for name in label_names},
            plan.ignore_value,
            plan.left_out,
        )
        scores = tuple(
            np.array([[case[name][key] for case in cases] for key in plan.combinations(name)], dtype=float)
            for name in label_names
        )
        there = np.array([[bool(case[name][REFERENCE_VOXELS]) for case in cases] for name in label_names])
        return cls(plan, scores, there, unit)

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return int(self.unit.max()) + 1

    def taken(self, weights: Array) -> Indices:
        """Returns which steps are taken under each weighting, `(n_weightings,)`, a bit for each, the first lowest.

        Args:
            weights: `(n_weightings, n_units)`, how often each unit is there.
        """
        codes = np.zeros(len(weights), dtype=np.intp)
        for place in range(len(self.plan.steps)):
            relevant = codes & self._context(place)
            for before in np.unique(relevant):
                rows = np.flatnonzero(relevant == before)
                is_taken = self._effect(place, int(before)).is_taken(weights[rows])
                codes[rows] |= is_taken.astype(np.intp) << place
        return codes

    def steps(self, taken: int) -> tuple[Step, ...]:
        """Returns the steps of one of the numbers that `taken` returns."""
        return tuple(step for place, step in enumerate(self.plan.steps) if taken >> place & 1)

    def after(self, taken: int) -> tuple[Array, Array]:
        """Returns the sums of the defined scores after these steps and their numbers, both `(n_units, n_labels)`."""
        scores = np.array([self._scores(place, taken) for place in range(len(self.scores))])
        is_defined = ~np.isnan(scores)
        return self._by_unit(np.where(is_defined, scores, 0.0)).T, self._by_unit(is_defined.astype(float)).T

    def effects(self) -> tuple[StepEffect, ...]:
        """Returns every step as it was looked at, on all cases."""
        (taken,) = map(int, self.taken(self._everything))
        return tuple(
            self._described(place, taken & ((1 << place) - 1), is_taken=bool(taken >> place & 1))
            for place in range(len(self.plan.steps))
        )

    @property
    def _everything(self) -> Array:
        """Every unit once, as the only weighting."""
        return np.ones((1, self.n_units))

    def _context(self, place: int) -> int:
        """Returns the bits of the earlier steps that a step's effect hangs on."""
        wanted = {other for places in self.plan.matters.values() if place in places for other in places}
        return sum(1 << other for other in wanted if other < place)

    def _scores(self, label: int, taken: int) -> Array:
        places = list(self.plan.matters.values())[label]
        found: Array = self.scores[label][sum((taken >> place & 1) << bit for bit, place in enumerate(places))]
        return found

    def _by_unit(self, values: Array) -> Array:
        sums = np.zeros((self.n_units, len(values)))
        np.add.at(sums, self.unit, values.T)
        return sums.T

    def _filled(self, label: int, taken: int) -> Array:
        scores = self._scores(label, taken)
        return np.where(np.isnan(scores), 1.0, scores)

    def _effect(self, place: int, before: int) -> "_Effect":
        key = place, before
        if key not in self._effects:
            n_labels = len(self.scores)
            gains = [self._filled(k, before | 1 << place) - self._filled(k, before) for k in range(n_labels)]
            owner = self.plan.owners[place]
            others = [
                gain for gain, name in zip(gains, self.plan.labels, strict=True) if owner is not None and name != owner
            ]
            is_lowered = np.any([gain < -SAME_SCORE for gain in others], axis=0) if others else np.zeros(len(self.unit))
            # A label that is nowhere, however its scores are, is no part of a foreground mean.
            n_there = sum(not np.isnan(scores).all() for scores in self.scores)
            self._effects[key] = _Effect(
                gains=self._by_unit(np.array(gains)) / max(n_there, 1),
                n_cases=np.bincount(self.unit, minlength=self.n_units).astype(float),
                n_holed=np.bincount(self.unit, is_lowered, minlength=self.n_units).astype(float),
            )
        return self._effects[key]

    def _described(self, place: int, before: int, *, is_taken: bool) -> StepEffect:
        effect = self._effect(place, before & self._context(place))
        mean, reach = (one.item() for one in effect.gain(self._everything))
        by_unit = effect.gains.sum(axis=0)
        changes = effect.changes
        has_interval = changes and self.n_units >= MIN_PATIENTS
        names = [name for name, places in self.plan.matters.items() if place in places]
        return StepEffect(
            step=self.plan.steps[place],
            owner=self.plan.owners[place],
            is_taken=is_taken,
            because=self._because(effect, changes=changes, mean=mean, reach=reach),
            gain=mean,
            interval=Interval(round(mean - reach, 9), round(mean + reach, 9)) if has_interval else None,
            n_better=int((by_unit > SAME_SCORE).sum()),
            n_worse=int((by_unit < -SAME_SCORE).sum()),
            labels={name: self._label_effect(name, before, before | 1 << place) for name in names},
        )

    def _because(self, effect: "_Effect", *, changes: bool, mean: float, reach: float) -> str:
        if not changes:
            return "it changes no score"
        if self.n_units < MIN_PATIENTS:
            return f"there are {self.n_units} patients, and it takes {MIN_PATIENTS} to tell a gain from chance"
        if mean - reach <= SAME_SCORE:
            return "its gain cannot be told from 0" if mean + reach >= 0 else "it worsens the mean"
        names = list(self.plan.labels)
        if worse := [names[k] for k in np.flatnonzero(effect.gains.sum(axis=1) < -SAME_SCORE)]:
            return f"it worsens the mean of {first_offenders(worse)}"
        if n := int((effect.n_holed > 0).sum()):
            return f"it makes holes in another label or region, in {n} patient{'' if n == 1 else 's'}"
        return "its gain is told from 0, and no label loses"

    def _label_effect(self, name: str, before: int, after: int) -> LabelEffect:
        place = list(self.plan.labels).index(name)
        scores = [self._scores(place, taken) for taken in (before, after)]
        is_defined = [~np.isnan(one) for one in scores]
        means = [
            float(one[there].mean()) if there.any() else None for one, there in zip(scores, is_defined, strict=True)
        ]
        n_false = [int((there & ~self.is_in_reference[place]).sum()) for there in is_defined]
        gain = float((self._filled(place, after) - self._filled(place, before)).mean())
        n_defined = [int(there.sum()) for there in is_defined]
        return LabelEffect(means[0], means[1], n_defined[0], n_defined[1], n_false[0], n_false[1], gain)


@dataclass(frozen=True)
class _Effect:
    """What a step changes, by unit.

    Attributes:
        gains: `(n_labels, n_units)`, sums over the cases, each label's share in the foreground mean.
        n_cases: `(n_units,)`.
        n_holed: `(n_units,)`, cases in which a step of one label or region lowers another.
    """

    gains: Array
    n_cases: Array
    n_holed: Array

    @property
    def changes(self) -> bool:
        """Whether it changes a score at all."""
        return bool(np.abs(self.gains).max() > SAME_SCORE)

    def is_taken(self, weights: Array) -> NDArray[np.bool_]:
        """Returns whether the step is taken under each weighting."""
        if not self.changes:
            return np.zeros(len(weights), dtype=bool)
        mean, reach = self.gain(weights)
        n_cases = np.maximum(weights @ self.n_cases, 1)
        is_worse = ((weights @ self.gains.T) / n_cases[:, None] < -SAME_SCORE).any(axis=1)
        is_holed = (weights * self.n_holed).any(axis=1)
        is_gain = mean - reach > SAME_SCORE
        found: NDArray[np.bool_] = (weights.sum(axis=1) >= MIN_PATIENTS) & is_gain & ~(is_worse | is_holed)
        return found

    def gain(self, weights: Array) -> tuple[Array, Array]:
        """Returns the gain of the foreground mean, and how far its 95 % interval reaches to each side."""
        by_unit = self.gains.sum(axis=0)
        n_cases = np.maximum(weights @ self.n_cases, 1)
        mean = (weights @ by_unit) / n_cases
        moved = (by_unit - self.n_cases * mean[:, None]) / n_cases[:, None]
        # Of one patient there is no spread, and it takes more of them for a step anyway.
        n = np.maximum(weights.sum(axis=1), 2)
        errors = np.sqrt(np.einsum("du,du->d", weights, moved**2) * n / (n - 1))
        return mean, errors * student(n)
