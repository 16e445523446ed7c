"""What a search has found so far: its trials with their curves, ranked, and in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nnunet_assets.core.search.curve_files import Curve, best_first
from nnunet_assets.core.search.trial_files import Trial
from nnunet_assets.core.text.amounts import count_text


@dataclass(frozen=True)
class TrialReport:
    """A trial and what it scored.

    Attributes:
        trial: As it is in the record.
        name: Of its variant.
        curve: Its epochs.
        dice: Mean Dice of the validation cases of its fold; None: it was not validated.
        is_counted: Whether its point lies in the space as it is now; else it does not count for how many there are to
            be, and does not go on.
    """

    trial: Trial
    name: str
    curve: Curve
    dice: float | None = None
    is_counted: bool = True

    @property
    def begun(self) -> datetime:
        """When its point was drawn, in UTC."""
        return datetime.fromtimestamp(self.trial.begun_ms / 1000, UTC)

    @property
    def score(self) -> float | None:
        """The last pseudo Dice; None: there is none."""
        return self.curve.last[1] if self.curve.last else None


@dataclass(frozen=True)
class SearchReport:
    """A search as it is now.

    Attributes:
        dataset: Whose cases it is trained on.
        name: Of the search.
        title: In one line for people.
        fold: That chooses: `fold_0`.
        n_wanted: How many trials there are to be.
        max_epochs: Of each that is not stopped.
        stopped_at: After how many epochs trials are compared.
        settings: What is varied, in the order of the declaration, and then what trials of an earlier space varied.
        trials: By number.
        n_changes: How often the space was changed after trials had begun.
    """

    dataset: str
    name: str
    title: str
    fold: str
    n_wanted: int
    max_epochs: int
    stopped_at: Sequence[float]
    settings: Sequence[str]
    trials: Sequence[TrialReport]
    n_changes: int = 0

    @property
    def ranked(self) -> list[TrialReport]:
        """The trials with a score that did not fail, the best one first.

        Those that trained longer stand before those that were stopped earlier; scores are compared where the numbers
        of epochs are equal.
        """
        curves = {
            one.trial.number: one.curve for one in self.trials if one.score is not None and one.trial.state != "failed"
        }
        by_number = {one.trial.number: one for one in self.trials}
        return [by_number[number] for number in best_first(curves)]

    @property
    def in_order(self) -> list[TrialReport]:
        """All trials: the ranked ones, and those that have no rank after them."""
        ranked = self.ranked
        return [*ranked, *(one for one in self.trials if one not in ranked)]

    @property
    def best(self) -> TrialReport | None:
        """The best trial; None: none has a score."""
        return next(iter(self.ranked), None)

    @property
    def compared_at(self) -> int:
        """After how many epochs all trials are compared first: where none is stopped, after the last one."""
        return math.ceil(min(self.stopped_at, default=self.max_epochs))

    @property
    def n_epochs(self) -> int:
        """How many epochs were trained."""
        return sum(one.curve.n_epochs for one in self.trials)

    @property
    def hours(self) -> float:
        """What they took."""
        return sum(one.curve.seconds for one in self.trials) / 3600

    @property
    def counted(self) -> list[TrialReport]:
        """The trials in the space as it is now."""
        return [one for one in self.trials if one.is_counted]

    def counts(self) -> dict[str, int]:
        """Returns how many of these are in each state; `begun` are those that train, or go on with the next run."""
        states = [one.trial.state for one in self.counted]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    def changes(self) -> str:
        """Returns what became of the trials of an earlier space, in a sentence; nothing where it was never changed."""
        if not self.n_changes:
            return ""
        times = "once" if self.n_changes == 1 else f"{self.n_changes} times"
        n_outside = len(self.trials) - len(self.counted)
        outside = "1 of them lies" if n_outside == 1 else f"{n_outside} of them lie"
        return f"The space was changed {times} after trials began: {outside} outside of it now, ranked but not counted."

    def headline(self) -> str:
        """Returns it in a few sentences."""
        counts = ", ".join(f"{n} {state}" for state, n in self.counts().items()) or "none begun"
        spent = f"{count_text(self.n_epochs, 'epoch')}, {self.hours:.2g} h"
        begun = f"{len(self.counted)} of {self.n_wanted} trials ({counts}); {spent}."
        if changes := self.changes():
            begun = f"{begun} {changes}"
        best = self.best
        if best is None or best.curve.last is None:
            return f"{begun} No trial has a pseudo Dice yet."
        n_epochs, score = best.curve.last
        after = f"after {count_text(n_epochs, 'epoch')}"
        return (
            f"{begun} Best: trial {best.trial.number}, pseudo Dice {score:.4f} {after} on {self.fold}, "
            f"chosen among {len(self.trials)}."
        )

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "dataset": self.dataset,
            "search": self.name,
            "fold": self.fold,
            "trials_wanted": self.n_wanted,
            "space_changes": self.n_changes,
            "epochs": self.n_epochs,
            "hours": self.hours,
            "best": self.best.trial.number if self.best else None,
            "trials": [row(one, self.settings) for one in self.trials],
        }


def row(one: TrialReport, settings: Sequence[str]) -> dict[str, Any]:
    """Returns a trial by column; a setting that is not part of its point is None."""
    point: Mapping[str, Any] = one.trial.point
    return {
        "trial": one.trial.number,
        "variant": one.name,
        **{name: point.get(name) for name in settings},
        "state": one.trial.state,
        "is_counted": one.is_counted,
        "begun": one.begun.isoformat(timespec="seconds"),
        "epochs": one.curve.n_epochs,
        "pseudo_dice": one.score,
        "dice": one.dice,
        "hours": one.curve.seconds / 3600,
        "failure": one.trial.failure,
    }
