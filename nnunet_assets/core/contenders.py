"""What may be compared: experiments scored on the same cases of the same data, and their scores side by side.

Experiments on other splits are refused: their models have seen each other's validation cases. So are those on other raw
data, whose references may differ. Labels that not all of them have, and cases that not all of them validated (an
experiment may declare fewer folds), are left out and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.cv_summary import METRICS, CvSummary
from nnunet_assets.errors import SummaryError, first_offenders

CaseScores = Mapping[str, Mapping[str, float | None]]
"""Label name to case to score; None: undefined."""


@dataclass(frozen=True)
class Contender:
    """A finished experiment and its scores, of whatever metrics.

    Attributes:
        name: Of the experiment within its dataset.
        raw_hash: Digest of the raw data.
        splits_hash: Digest of the splits.
        scores: By metric.
        patients: Case to patient; None: not known.
    """

    name: str
    raw_hash: str
    splits_hash: str
    scores: Mapping[str, CaseScores]
    patients: Mapping[str, str] | None = None

    @classmethod
    def of(cls, summary: CvSummary) -> "Contender":
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
        )

    @property
    def cases(self) -> frozenset[str]:
        """Every case that it has a score of, be it undefined."""
        return frozenset(case for labels in self.scores.values() for scores in labels.values() for case in scores)


@dataclass(frozen=True)
class Field:
    """Contenders side by side.

    Attributes:
        names: Of the contenders.
        cases: That all of them have, sorted.
        patients: Of the cases; None: not known of all.
        labels: Label names by metric that all of them have.
        scores: By metric `(n_contenders, n_cases, n_labels)`, NaN where undefined.
        notes: What was left out, in full sentences.
    """

    names: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...] | None
    labels: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...]


def side_by_side(contenders: Sequence[Contender]) -> Field:
    """Returns the scores of contenders, at least one, on the cases and labels that all of them have.

    Raises:
        SummaryError: Two of them are of other splits or raw data, or there is no case or no label that all have.
    """
    _check_shared(contenders)
    cases = sorted(frozenset.intersection(*(contender.cases for contender in contenders)))
    if not cases:
        raise SummaryError(
            f"No case was validated by all of {first_offenders([contender.name for contender in contenders])}: they "
            "declare different folds. Declare one fold at least that all of them train."
        )
    metrics = [metric for metric in contenders[0].scores if all(metric in other.scores for other in contenders)]
    labels = {metric: _shared_labels(contenders, metric) for metric in metrics}
    return Field(
        names=tuple(contender.name for contender in contenders),
        cases=tuple(cases),
        patients=_patients(contenders, cases),
        labels=labels,
        scores={
            metric: np.array(
                [[[one.scores[metric][label].get(case) for label in names] for case in cases] for one in contenders],
                dtype=float,
            )
            for metric, names in labels.items()
        },
        notes=(*_label_notes(contenders, metrics), *_case_notes(contenders, cases)),
    )


def _check_shared(contenders: Sequence[Contender]) -> None:
    first = contenders[0]
    for other in contenders[1:]:
        digests = {"splits": first.splits_hash != other.splits_hash, "raw data": first.raw_hash != other.raw_hash}
        differences = [what for what, is_other in digests.items() if is_other]
        if differences:
            raise SummaryError(
                f"{first.name} and {other.name} must not be compared: their folds were trained on different "
                f"{' and '.join(differences)}. Train the older of the two again, or take it out of the declarations."
            )


def _shared_labels(contenders: Sequence[Contender], metric: str) -> tuple[str, ...]:
    shared = [name for name in contenders[0].scores[metric] if all(name in one.scores[metric] for one in contenders)]
    if not shared:
        names = first_offenders([contender.name for contender in contenders])
        raise SummaryError(f"No label has a {metric} in all of {names}. Compare experiments that segment the same.")
    return tuple(shared)


def _label_notes(contenders: Sequence[Contender], metrics: Sequence[str]) -> list[str]:
    owners: dict[str, set[str]] = {}
    for contender in contenders:
        for label in (label for metric in metrics for label in contender.scores[metric]):
            owners.setdefault(label, set()).add(contender.name)
    odd = [label for label, names in owners.items() if len(names) < len(contenders)]
    sentence = f"Labels that not every experiment has are left out, of the foreground too: {first_offenders(odd)}."
    return [sentence] if odd else []


def _case_notes(contenders: Sequence[Contender], cases: Sequence[str]) -> list[str]:
    wider = [f"{one.name} ({len(one.cases)})" for one in contenders if len(one.cases) > len(cases)]
    sentence = f"These experiments validated more than the {len(cases)} shared cases: {first_offenders(wider)}."
    return [sentence] if wider else []


def _patients(contenders: Sequence[Contender], cases: Sequence[str]) -> tuple[str, ...] | None:
    known = (one.patients for one in contenders if one.patients is not None)
    return next((tuple(one[case] for case in cases) for one in known if set(cases) <= set(one)), None)
