"""Which cross-validations there are, whoever keeps the record: MLflow, a results folder, or Dagster.

A group has one name on the command line: the experiment's asset key with slashes
(`Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__2d`), or for runs of nnunet-tracker that tool's own
(`Dataset004_Hippocampus|2d|nnUNetPlans`, which names no trainer).
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from nnunet_assets.core.files.layout import Experiment, fold_key
from nnunet_assets.core.summary.fold_means import FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import SummaryError, first_offenders

Kind = Literal["native", "nnunet_tracker"]

DEFAULT_FOLDS = tuple(fold_key(index) for index in range(5))
"""nnU-Net's five: what an experiment is expected to have at least that nobody declares."""


@dataclass(frozen=True)
class CvGroup:
    """One cross-validation, as far as a record tells of it.

    Attributes:
        name: As the module says.
        kind: Who wrote the record.
        finished_folds: In the order of their numbers; what failed or still runs is not among them.
        newest_ms: When its newest run began or its newest fold was finished, in milliseconds since 1970-01-01 UTC.
        n_runs: Records by their status, such as `FINISHED` or `FAILED`; a folder knows finished and other folds.
        experiment: What a native group is of; None: nnunet-tracker's do not say it whole, nor does a record with gaps.
        score: What its finished folds hold: Dice of whole cases, or an estimate on random patches.
        remark: What a person should know of the record, in full sentences; empty: nothing.
    """

    name: str
    kind: Kind
    finished_folds: tuple[str, ...]
    newest_ms: int
    n_runs: Mapping[str, int] = field(default_factory=dict)
    experiment: Experiment | None = None
    score: Literal["dice", "pseudo_dice"] = "dice"
    remark: str = ""

    @property
    def default_folds(self) -> tuple[str, ...]:
        """The folds of a complete one that nobody declares: `DEFAULT_FOLDS`, and every other one that is finished."""
        return tuple(sorted({*DEFAULT_FOLDS, *self._numbered_folds}, key=fold_order))

    def left_out(self, expected: Sequence[str]) -> list[str]:
        """Returns the finished folds that are not expected; a model on every case is none of them."""
        return [fold for fold in self._numbered_folds if fold not in expected]

    @property
    def _numbered_folds(self) -> list[str]:
        return [fold for fold in self.finished_folds if fold.removeprefix("fold_").isdecimal()]

    @property
    def is_native(self) -> bool:
        """Whether this package made it."""
        return self.kind == "native"

    @property
    def maker(self) -> str:
        """The program that made its runs."""
        return "nnunet_assets" if self.is_native else "nnunet-tracker"

    def to_json(self) -> dict[str, Any]:
        """Returns the group as JSON values."""
        return {
            "cv_group": self.name,
            "made_by": self.maker,
            "score": self.score,
            "finished_folds": list(self.finished_folds),
            "newest_ms": self.newest_ms,
            "n_runs": dict(self.n_runs),
            "remark": self.remark,
        }


class CvRecord(Protocol):
    """Who can say what was cross-validated, and how well."""

    place: str
    """Where the record lies, for messages."""

    def experiments(self) -> Mapping[str, Sequence[CvGroup]]:
        """Returns every experiment (MLflow's, or the dataset) with its groups; all of them, however many runs."""

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, ScoredSummary | FoldMeansSummary]:
        """Returns a group and what its finished folds say together.

        Args:
            name: The experiment.
            cv_group: The group; None: the newest with a finished fold.
            expected: Returns the folds of a complete cross-validation of a group.

        Raises:
            SummaryError: There is no such experiment or group, no expected fold of it is finished, or its folds cannot
                be read or must not be averaged.
            TrackingError: The tracking server does not answer.
        """

    def other_groups(self, name: str, group: CvGroup) -> Sequence[str]:
        """Returns the names of the other groups of an experiment that have a finished fold; of very many, some.

        Raises:
            TrackingError: The tracking server does not answer.
        """


def group_name(experiment: Experiment) -> str:
    """Returns the name of a native group."""
    return "/".join(experiment.key_prefix)


def fold_order(fold: str) -> tuple[int, str]:
    """Returns what sorts fold_2 before fold_10, and fold_all last."""
    number = fold.removeprefix("fold_")
    return (int(number), "") if number.isdecimal() else (10**9, fold)


def chosen_group(groups: Sequence[CvGroup], name: str | None, place: str) -> CvGroup:
    """Returns the group of that name; None: the newest with a finished fold.

    Args:
        groups: Those that there are.
        name: What the user asked for.
        place: Where they were looked for, for messages.

    Raises:
        SummaryError: There is no such group, or none with a finished fold.
    """
    if name is not None:
        for group in groups:
            if group.name == name:
                return group
        raise SummaryError(f"{place} has no group {name!r}. {closest(name, [group.name for group in groups])}")
    finished = [group for group in groups if group.finished_folds]
    if not finished:
        others = ", ".join(group.name for group in groups)
        there = f" Without one: {others}." if others else ""
        raise SummaryError(f"{place} has no finished fold, so there is nothing to summarize.{there}")
    return max(finished, key=lambda group: group.newest_ms)


def meant_group(wanted: str, names: Sequence[str]) -> str | None:
    """Returns the one name that holds every word of what was asked for, as `list` shows it: `ResEncUNetMPlans 2d`.

    None: there is none, or several.
    """
    words = wanted.replace("…", " ").split()
    found = [name for name in names if all(word in name for word in words)]
    return found[0] if words and len(found) == 1 else None


def no_experiment(place: str, name: str, names: Sequence[str]) -> SummaryError:
    """Returns the error for an experiment that a record does not have."""
    return SummaryError(f"{place} has no experiment {name!r}. {closest(name, names)}")


def closest(wanted: str, names: Sequence[str]) -> str:
    """Returns a sentence that names what was meant, where a name is close, and else what there is."""
    if not names:
        return "There is none at all."
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    near = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{near}There are: {first_offenders(sorted(names))}."
