"""The scores of validation cases, read from nnU-Net's `validation/summary.json`, with names instead of keys and paths.

nnU-Net writes one entry a case in `metric_per_case`: `prediction_file`, a path (of the machine that validated, which
may have run Windows) that ends in the case id and the file ending, and `metrics`, keyed by label value (`"1"`) or
region (`"(1, 2)"`), with a bare `NaN` for what is undefined. nnU-Net's own means are not read.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import OTHER_FORM, parse_json, read_json_bytes
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, file_name_of
from nnunet_assets.errors import SummaryError, first_offenders

REMEDY = "Restore the file, or run the validation of this fold again."


@dataclass(frozen=True)
class LabelScore:
    """How well one label of one case was predicted.

    Both scores are None where reference and prediction are both empty: undefined, which is not 0. Where only one of
    them is empty both scores are 0.

    Attributes:
        dice: In [0, 1].
        iou: Intersection over union, in [0, 1].
    """

    dice: float | None
    iou: float | None


@dataclass(frozen=True)
class CaseResult:
    """The scores of one validation case, by label name in the order of dataset.json; every case has every label."""

    case_id: str
    scores: Mapping[str, LabelScore]


def read_case_results(
    fold_folder: Path,
    labels: Mapping[str, int | Sequence[int]],
    expected_cases: Sequence[str],
    *,
    file_ending: str,
) -> tuple[CaseResult, ...]:
    """Returns the validation scores of a fold that need not be committed yet, in the order of the case ids.

    Background and the ignore label have no score, as in nnU-Net.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        labels: `labels` of dataset.json: label name to value, or to the values of a region.
        expected_cases: The case ids of the split's validation set.
        file_ending: `file_ending` of dataset.json, such as `.nii.gz`.

    Raises:
        SummaryError: The file is absent, torn or not nnU-Net's, has other labels than dataset.json, or its cases are
            not exactly the expected ones; or there is no case.
    """
    path = fold_folder / SUMMARY_FILE
    return case_results(read_scores(path), path, labels, expected_cases, file_ending)


def read_scores(path: Path) -> bytes:
    """Returns the bytes of a summary.json.

    Raises:
        SummaryError: It cannot be read.
    """
    try:
        return read_json_bytes(path)
    except OSError as error:
        raise SummaryError(f"The scores of a fold in {path} cannot be read: {error.strerror}. {REMEDY}") from error
    except ValueError as error:
        raise SummaryError(f"The scores of a fold in {path} are not read: {error}. {REMEDY}") from error


def case_results(
    content: bytes,
    path: Path,
    labels: Mapping[str, int | Sequence[int]],
    expected_cases: Sequence[str],
    file_ending: str,
) -> tuple[CaseResult, ...]:
    """Returns what `read_case_results` does, of bytes that were read from `path`."""
    names = _names_by_values(labels)
    try:
        entries = list(parse_json(content)["metric_per_case"])
    except OTHER_FORM as error:
        raise SummaryError(
            f"{path} is torn, or not an evaluation of nnU-Net with its metric_per_case ({error!r}). {REMEDY}"
        ) from error
    cases = [_case_result(entry, names, path, file_ending) for entry in entries]
    _check_case_ids([case.case_id for case in cases], expected_cases, path)
    return tuple(sorted(cases, key=lambda case: case.case_id))


def _names_by_values(labels: Mapping[str, int | Sequence[int]]) -> dict[frozenset[int], str]:
    """Maps what nnU-Net evaluates, a value or the values of a region, to label names in the order of dataset.json."""
    names: dict[frozenset[int], str] = {}
    for label_name, value in labels.items():
        # int, since nnU-Net accepts a value written as text.
        values = frozenset(map(int, value if isinstance(value, list | tuple) else [value]))
        if label_name == "ignore" or values == {0}:
            continue
        if values in names:
            raise SummaryError(
                f"Labels {names[values]!r} and {label_name!r} of dataset.json both have the value {sorted(values)}, so "
                "that their scores cannot be told apart. Give each label a value of its own."
            )
        names[values] = label_name
    return names


def _case_result(entry: Any, names: Mapping[frozenset[int], str], path: Path, file_ending: str) -> CaseResult:
    try:
        file_name = file_name_of(entry["prediction_file"])
        # "1" is a label, "(1, 2)" a region.
        scores = {
            frozenset(map(int, re.findall(r"\d+", key))): (metrics["Dice"], metrics["IoU"])
            for key, metrics in entry["metrics"].items()
        }
        scores.pop(frozenset([0]), None)  # what scored the background too, as nnU-Net does not
    except OTHER_FORM as error:
        raise SummaryError(f"A case in {path} is not as nnU-Net writes it: {error!r}. {REMEDY}") from error
    if set(scores) != set(names):
        raise SummaryError(
            f"{file_name} in {path} has scores for the labels {list(entry['metrics'])}, dataset.json has "
            f"{[sorted(values) for values in names]}. The file belongs to another dataset, or the labels changed after "
            "the fold was trained."
        )
    if not file_name.endswith(file_ending):
        raise SummaryError(
            f"Prediction {file_name} in {path} does not end in {file_ending}, as dataset.json says it does."
        )
    return CaseResult(
        file_name.removesuffix(file_ending),
        {
            label_name: _label_score(*scores[values], where=f"{label_name} of {file_name} in {path}")
            for values, label_name in names.items()
        },
    )


def _label_score(dice: Any, iou: Any, where: str) -> LabelScore:
    score = LabelScore(_number(dice, where), _number(iou, where))
    if (score.dice is None) != (score.iou is None):
        raise SummaryError(f"Of Dice and IoU of {where} only one is defined. {REMEDY}")
    return score


def _number(value: Any, where: str) -> float | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SummaryError(f"The score of {where} is {value!r}, not a number from 0 to 1. {REMEDY}")
    return float(value)


def _check_case_ids(found: Sequence[str], expected: Sequence[str], path: Path) -> None:
    kinds = {
        "more than once": [case_id for case_id, count in Counter(found).items() if count > 1],
        "not in the validation set of the split": sorted(set(found) - set(expected)),
        "in the validation set but without a score": sorted(set(expected) - set(found)),
    }
    odd = [f"{first_offenders(case_ids)} ({kind})" for kind, case_ids in kinds.items() if case_ids]
    if odd:
        raise SummaryError(
            f"The {len(found)} cases in {path} are not the {len(expected)} of the split: {'; '.join(odd)}. Remove old "
            "predictions from the folder and run the validation again."
        )
    if not found:
        raise SummaryError(f"{path} holds no case: a fold without a validation set has no scores to summarize.")
