"""What may be compared: experiments scored on the same cases of the same data, and the scores that they share.

Experiments on other splits must not be compared: their models have seen each other's validation cases. Nor must those
on other raw data, whose references may differ. The largest group that may be compared is; the others are left out with
the reason. What an adopted fold was trained on is not known: it may be compared where the validation cases agree fold
by fold, and that no more is proved is said. Labels that not all of them have, and cases that not all of them validated
(an experiment may declare fewer folds), are left out and named.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.summary.label_summary import METRICS
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import SummaryError, first_offenders

CaseScores = Mapping[str, Mapping[str, float | None]]
"""Label name to case to score; None: undefined."""


@dataclass(frozen=True)
class ComparedExperiment:
    """A finished experiment and its scores, of whatever metrics.

    Attributes:
        name: Of the experiment within its dataset.
        raw_hash: Digest of the raw data; may be `UNKNOWN`.
        splits_hash: Digest of the splits; may be `UNKNOWN`.
        scores: By metric.
        patients: Case to patient; None: not known.
        validation: The cases that each fold validated; what is unknown is compared by them.
    """

    name: str
    raw_hash: str
    splits_hash: str
    scores: Mapping[str, CaseScores]
    patients: Mapping[str, str] | None = None
    validation: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: ScoredSummary) -> "ComparedExperiment":
        """Returns an experiment with the Dice and IoU of its summary."""
        cases = [case for fold in summary.folds for case in fold.cases]
        return cls(
            name=summary.experiment.name_in_dataset,
            raw_hash=summary.inputs.raw_hash,
            splits_hash=summary.inputs.splits_hash,
            scores={
                metric: {
                    name: {case.case_id: getattr(case.scores[name], metric) for case in cases}
                    for name in summary.labels
                }
                for metric in METRICS
            },
            patients=summary.patients,
            validation={fold.fold: frozenset(case.case_id for case in fold.cases) for fold in summary.folds},
        )

    @property
    def is_proved(self) -> bool:
        """Whether it is known which raw data and splits it was trained on."""
        return UNKNOWN not in (self.raw_hash, self.splits_hash)

    @property
    def cases(self) -> frozenset[str]:
        """Every case that it has a score of, be it undefined."""
        return frozenset(case for labels in self.scores.values() for scores in labels.values() for case in scores)


@dataclass(frozen=True)
class SharedScores:
    """The scores of experiments, on what all of them have.

    Attributes:
        names: Of the experiments.
        cases: That all of them have, sorted.
        patients: Of the cases; None: not known of all.
        labels: Label names by metric that all of them have.
        scores: By metric `(n_experiments, n_cases, n_labels)`, NaN where undefined.
        notes: What was left out, in full sentences.
    """

    names: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...] | None
    labels: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...]


def compatible(experiments: Sequence[ComparedExperiment]) -> tuple[list[ComparedExperiment], dict[str, str]]:
    """Returns the largest group that may be compared, and the names of the others with the reason.

    Of groups of one size that with the earliest experiment; both in the order of the experiments.

    Raises:
        SummaryError: There are two or more, and no two of them may be compared.
    """
    kinds: dict[Hashable, list[ComparedExperiment]] = {}
    for one in experiments:
        validation = None if one.is_proved else frozenset(one.validation.items()) or one.name
        kinds.setdefault((one.raw_hash, one.splits_hash, validation), []).append(one)
    groups = []
    for kind in kinds.values():
        group = list(kind)
        for other in kinds.values():
            if other is not kind and not any(_differences(one, other[0]) for one in group):
                group += other
        groups.append(group)
    largest = max(groups, key=len, default=[])
    if len(largest) < 2 <= len(experiments):
        raise SummaryError(_refusal(*experiments[:2]))
    ids = {id(one) for one in largest}
    chosen = [one for one in experiments if id(one) in ids]
    return chosen, {
        one.name: _refusal(next(other for other in chosen if _differences(other, one)), one)
        for one in experiments
        if id(one) not in ids
    }


def shared_scores(experiments: Sequence[ComparedExperiment]) -> SharedScores:
    """Returns the scores of `compatible` experiments, at least one, on the cases and labels that all of them have.

    Raises:
        SummaryError: There is no case or no label that all have.
    """
    cases = sorted(frozenset.intersection(*(experiment.cases for experiment in experiments)))
    if not cases:
        raise SummaryError(
            f"No case was validated by all of {first_offenders([experiment.name for experiment in experiments])}: they "
            "declare different folds. Declare one fold at least that all of them train."
        )
    metrics = [metric for metric in experiments[0].scores if all(metric in other.scores for other in experiments)]
    labels = {metric: _shared_labels(experiments, metric) for metric in metrics}
    return SharedScores(
        names=tuple(experiment.name for experiment in experiments),
        cases=tuple(cases),
        patients=_patients(experiments, cases),
        labels=labels,
        scores={
            metric: np.array(
                [[[one.scores[metric][label].get(case) for label in names] for case in cases] for one in experiments],
                dtype=float,
            )
            for metric, names in labels.items()
        },
        notes=(*_proof_notes(experiments), *_label_notes(experiments, metrics), *_case_notes(experiments, cases)),
    )


def _differences(left: ComparedExperiment, right: ComparedExperiment) -> list[str]:
    """Names what forbids to compare the two; empty: nothing."""
    digests = ((left.raw_hash, right.raw_hash), (left.splits_hash, right.splits_hash))
    # Of what experiments are compared for, plans and settings, nothing is said here.
    named, other = (FoldInputs(one.raw_hash, UNKNOWN, one.splits_hash, UNKNOWN) for one in (left, right))
    differences = named.differences(other)
    if left.is_proved and right.is_proved:
        return differences
    shared = left.validation.keys() & right.validation.keys()
    if not shared or any(left.validation[fold] != right.validation[fold] for fold in shared):
        return [*differences, "the validation cases of their folds"]
    is_proved_other = any(one != another and UNKNOWN not in (one, another) for one, another in digests)
    return differences if is_proved_other else []


def _refusal(left: ComparedExperiment, right: ComparedExperiment) -> str:
    remedy = (
        "Train the older of the two again"
        if left.is_proved and right.is_proved
        else "What was trained elsewhere may be compared only where each fold validated the same cases: train it here"
    )
    return (
        f"{left.name} and {right.name} must not be compared: they differ in {', '.join(_differences(left, right))}. "
        f"{remedy}, or take it out of the declarations."
    )


def _shared_labels(experiments: Sequence[ComparedExperiment], metric: str) -> tuple[str, ...]:
    shared = [name for name in experiments[0].scores[metric] if all(name in one.scores[metric] for one in experiments)]
    if not shared:
        names = first_offenders([experiment.name for experiment in experiments])
        raise SummaryError(f"No label has a {metric} in all of {names}. Compare experiments that segment the same.")
    return tuple(shared)


def _proof_notes(experiments: Sequence[ComparedExperiment]) -> list[str]:
    unproved = [one.name for one in experiments if not one.is_proved]
    sentence = (
        f"Splits and raw data unproved: {first_offenders(unproved)}, trained elsewhere. The validation cases agree "
        "fold by fold; that no model saw them while it was trained is not known."
    )
    return [sentence] if unproved else []


def _label_notes(experiments: Sequence[ComparedExperiment], metrics: Sequence[str]) -> list[str]:
    owners: dict[str, set[str]] = {}
    for experiment in experiments:
        for label in (label for metric in metrics for label in experiment.scores[metric]):
            owners.setdefault(label, set()).add(experiment.name)
    odd = [label for label, names in owners.items() if len(names) < len(experiments)]
    sentence = f"Labels that not every experiment has are left out, of the foreground too: {first_offenders(odd)}."
    return [sentence] if odd else []


def _case_notes(experiments: Sequence[ComparedExperiment], cases: Sequence[str]) -> list[str]:
    wider = [f"{one.name} ({len(one.cases)})" for one in experiments if len(one.cases) > len(cases)]
    sentence = f"These experiments validated more than the {len(cases)} shared cases: {first_offenders(wider)}."
    return [sentence] if wider else []


def _patients(experiments: Sequence[ComparedExperiment], cases: Sequence[str]) -> tuple[str, ...] | None:
    known = (one.patients for one in experiments if one.patients is not None)
    return next((tuple(one[case] for case in cases) for one in known if set(cases) <= set(one)), None)
