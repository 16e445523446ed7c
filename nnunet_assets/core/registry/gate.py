"""What a version must show before it takes the champion's place: pure rules, each with a sentence.

* `cross_validation`: every fold is finished, and it is the finished folds that were packed.
* `one_training`: all folds were made from the same data, plans, splits and settings, and it is known from which.
* `round_trip`: a bare process loaded the version just made and predicted, equal voxel by voxel to the folds themselves.
* `not_inferior`: the paired difference to the champion is not below a declared margin, as far as the data can tell.

Whoever fails one stays challenger, with the reason. A version is compared where both were scored on the same raw data:
each case by a model that was not trained on it, whatever the splits were; of other raw data, on a declared test set
that both predicted, and that is the same one. What an empty or missed object counts is as
everywhere (`statistics.scoring`): a case in which one of the two alone has something defined is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.errors import SummaryError, first_offenders

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import Difference

DEFAULT_MARGIN = 0.01
"""Of the mean Dice of the foreground; a single label may lose twice as much."""

LABEL_MARGINS = 2

METRIC = "dice"

PASSED, FAILED = "passed", "failed"
"""How the record of a verdict begins."""

RULES = {
    "cross_validation": "Every fold of the cross-validation is finished and packed.",
    "one_training": "All folds were made from the same data, plans, splits and settings.",
    "round_trip": "The version, loaded by a bare process, predicts exactly what its folds do.",
    "not_inferior": "It is not worse than the champion by more than the declared margin.",
}
"""Name of a rule to what it asks."""


@dataclass(frozen=True)
class Verdict:
    """What came of one rule.

    Attributes:
        rule: Of `RULES`.
        passed: Whether it is kept.
        sentence: What was found.
        numbers: What it rests on, by name.
    """

    rule: str
    passed: bool
    sentence: str
    numbers: Mapping[str, float | int] = field(default_factory=dict)

    @classmethod
    def recorded(cls, rule: str, record: str | None) -> "Verdict":
        """Returns a verdict as a version bears it; None: it bears none, and the rule is not kept."""
        if record is None:
            return cls(rule, False, f"The rule {rule} was not looked at.")
        word, _, sentence = record.partition(": ")
        return cls(rule, word == PASSED, sentence)

    @property
    def record(self) -> str:
        """What a version bears of it: `passed: ` or `failed: `, and the sentence."""
        return f"{PASSED if self.passed else FAILED}: {self.sentence}"


def passes(verdicts: Sequence[Verdict]) -> bool:
    """Tells whether a version may be the champion: every rule was looked at and kept."""
    return {one.rule for one in verdicts if one.passed} == set(RULES)


def reasons(verdicts: Sequence[Verdict]) -> list[str]:
    """Returns why it may not, in sentences."""
    return [one.sentence for one in verdicts if not one.passed]


def judge_cross_validation(expected: Sequence[str], finished: Sequence[str], packed: Sequence[str]) -> Verdict:
    """Judges whether the numbers of a model are of all folds, and of those that it predicts with.

    Args:
        expected: The folds of the complete cross-validation.
        finished: Those that its summary has.
        packed: Those that the model predicts with; a model of every case has a fold of its own, which no summary has.
    """
    rule, numbers = "cross_validation", {"folds": len(finished), "folds_expected": len(expected)}
    if missing := [fold for fold in expected if fold not in finished]:
        found = f"{len(finished)} of {len(expected)} folds are finished: {first_offenders(missing)} missing."
        return Verdict(rule, False, found, numbers)
    if odd := sorted(set(packed) ^ set(finished)) if packed != ("fold_all",) else []:
        found = f"It predicts with other folds than were scored: {first_offenders(odd)} in one of the two only."
        return Verdict(rule, False, found, numbers)
    n = len(expected)
    return Verdict(rule, True, f"{'The fold is' if n == 1 else f'All {n} folds are'} finished and scored.", numbers)


def judge_one_training(inputs: Mapping[str, str]) -> Verdict:
    """Judges whether the folds are of one training; folds that differ are refused before they are packed.

    Args:
        inputs: What all of them were made from: kind (`raw data`) to digest, which may be `UNKNOWN`.
    """
    if unknown := [kind for kind, digest in inputs.items() if digest == UNKNOWN]:
        found = f"Trained elsewhere: it is not known from which {first_offenders(unknown)} the folds were made."
        return Verdict("one_training", False, found)
    return Verdict("one_training", True, "All folds were made from the same data, plans, splits and settings.")


def judge_round_trip(n_cases: int, unequal: Mapping[str, int], problem: str | None = None) -> Verdict:
    """Judges whether the version predicts what its folds do.

    Args:
        n_cases: How many cases were predicted by both.
        unequal: Case, by its place, to how many voxels differ; those with none are not in it.
        problem: Why it could not be tried, a full sentence; None: it was.
    """
    numbers = {"cases": n_cases, "unequal_cases": len(unequal), "unequal_voxels": sum(unequal.values())}
    if problem is not None:
        return Verdict("round_trip", False, problem, numbers)
    if n_cases == 0:
        return Verdict("round_trip", False, "There was no case to predict.", numbers)
    noun = "case" if n_cases == 1 else "cases"
    if unequal:
        found = f"{numbers['unequal_voxels']} voxels of {len(unequal)} of {n_cases} {noun} differ from the folds' own."
        return Verdict("round_trip", False, found, numbers)
    return Verdict("round_trip", True, f"{n_cases} {noun}, equal voxel by voxel to the folds' own.", numbers)


def judge_against(
    champion: "ComparedExperiment | None",
    candidate: "ComparedExperiment | None",
    *,
    margin: float = DEFAULT_MARGIN,
    champion_name: str | None = None,
    test_sets: "tuple[ComparedExperiment | None, ComparedExperiment | None]" = (None, None),
) -> Verdict:
    """Judges whether a version is not inferior to the champion.

    Args:
        champion: Its scores by case; None: not known here.
        candidate: Those of the version; None: it has none.
        margin: What the lower end of the difference's 95 % interval may lie below 0.
        champion_name: Which version it is; None: there is no champion yet.
        test_sets: What both scored on their declared test sets, the champion first; `raw_hash` names the test set, and
            None says that there are no predictions of one. Asked for only where their raw data differ.
    """
    rule = "not_inferior"
    if champion_name is None:
        return Verdict(rule, True, "There is no champion yet.")
    if champion is None or candidate is None:
        whose = champion_name if champion is None else "this version"
        found = f"The scores by case of {whose} are not known here, so that nothing can be compared with it."
        return Verdict(rule, False, found)
    where = "shared cases"
    if champion.raw_hash != candidate.raw_hash or UNKNOWN in (champion.raw_hash, candidate.raw_hash):
        champion, candidate = test_sets
        if champion is None or candidate is None or champion.raw_hash != candidate.raw_hash:
            return Verdict(rule, False, _no_test_set(champion_name, champion, candidate))
        where = "cases of the test set"
    try:
        differences = _differences(champion, candidate)
    except SummaryError as error:
        return Verdict(rule, False, f"It cannot be compared with {champion_name}: {error}")
    worse, numbers = [], dict[str, float | int]()
    for one in differences:
        problem, ends = _beyond(one, margin if one.label is None else LABEL_MARGINS * margin)
        worse += [problem] if problem else []
        if one.label is None:
            numbers = {"cases": one.n_cases, "margin": margin, **ends}
    if worse:
        return Verdict(rule, False, f"Worse than {champion_name}, as far as can be told: {'; '.join(worse)}.", numbers)
    shown = numbers.get("difference", 0.0)
    sentence = (
        f"Dice {fixed(float(shown), 4)} above {champion_name} on {numbers['cases']} {where}, lower end of "
        f"the 95 % interval {fixed(float(numbers.get('low', 0.0)), 4)}, margin {margin:g}."
    )
    return Verdict(rule, True, sentence, numbers)


def _no_test_set(
    champion_name: str, champion: "ComparedExperiment | None", candidate: "ComparedExperiment | None"
) -> str:
    """Returns why two of other raw data cannot be compared on a test set either."""
    apart = f"{champion_name} was scored on other raw data, with which it cannot be compared"
    if champion is None or candidate is None:
        who = champion_name if champion is None else "this version"
        return f"{apart}; nor on a test set, since {who} has predicted none with references (`test_set: true`)."
    return f"{apart}; nor on the test set, which is another one than that of {champion_name}."


def _differences(champion: "ComparedExperiment", candidate: "ComparedExperiment") -> "Sequence[Difference]":
    """Returns candidate minus champion, of each label and of the foreground."""
    from nnunet_assets.core.comparison.comparison import compare

    # As if of one cross-validation: of other splits each case has still a model that did not see it.
    left, right = (
        replace(one, name=name, splits_hash="any", scores={METRIC: one.scores[METRIC]})
        for one, name in ((candidate, "candidate"), (champion, "champion"))
    )
    return compare("", [left, right], {}).differences


def _beyond(one: "Difference", margin: float) -> tuple[str | None, dict[str, float | int]]:
    """Returns why a difference does not show that nothing is lost (None: it does), and its numbers."""
    what = "the foreground" if one.label is None else one.label
    if one.mean is None:
        # A mean that is undefined is of a model that rightly drew nothing: see `statistics.scoring`.
        if one.no_p_because in {"undefined in candidate and champion", "undefined in candidate"}:
            return None, {}
        return f"{what} is drawn where the champion rightly draws nothing", {}
    if one.interval is None:
        return f"{what} has fewer than {MIN_PATIENTS} patients, of which nothing can be told", {"difference": one.mean}
    numbers: dict[str, float | int] = {"difference": one.mean, "low": one.interval.low, "high": one.interval.high}
    if one.interval.low > -margin:
        return None, numbers
    low = f"{fixed(one.mean, 4)}, and its 95 % interval begins at {fixed(one.interval.low, 4)}"
    return f"{what} differs by {low}, not above {-margin:g}", numbers
