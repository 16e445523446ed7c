"""What a finished fold scored: the cases of nnU-Net's `validation/summary.json`, with names instead of keys and paths.

nnU-Net writes one entry a case in `metric_per_case`: `prediction_file`, a path that ends in the case id and the file
ending, and `metrics`, keyed by label value (`"1"`) or region (`"(1, 2)"`), with a bare `NaN` for what is undefined.
Only a file that the fold's manifest vouches for, and that holds exactly the cases of the split, becomes a result: an
old prediction left in the folder would otherwise be averaged in. nnU-Net's own means are not read.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.commit import FINAL_CHECKPOINT, FoldInputs, Manifest
from nnunet_assets.errors import SummaryError, first_offenders

SUMMARY_FILE = "validation/summary.json"
"""Where nnU-Net writes the scores of a fold, relative to the fold's folder."""

_REMEDY = "Restore the file, or run the validation of this fold again."


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


@dataclass(frozen=True)
class FoldResult:
    """What one finished fold scored, and what it was made from.

    Attributes:
        fold: `fold_0` ...
        inputs: Digests of what the fold was made from.
        cases: In the order of their ids; at least one.
        n_epochs: Epochs trained.
        seconds: Wall time by section, from the manifest.
        validated: The checkpoint that predicted the cases.
        stopped_early: Why it was not trained to its last epoch; None: it was.
        gpu_hours: GPUs times hours of training and validation; None: on another device, or not known.
        peak_memory_bytes: By kind (`host`, `gpu`); a kind that is not known is absent.
        commit_sha256: What names the finished fold, see `commit.commit_sha256`; None: not known.
    """

    fold: str
    inputs: FoldInputs
    cases: tuple[CaseResult, ...]
    n_epochs: int
    seconds: Mapping[str, float]
    validated: str = FINAL_CHECKPOINT
    stopped_early: str | None = None
    gpu_hours: float | None = None
    peak_memory_bytes: Mapping[str, int] = field(default_factory=dict)
    commit_sha256: str | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that were evaluated, in the order of dataset.json."""
        return tuple(self.cases[0].scores)

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON values, without the inputs, which a summary's folds have in common."""
        return {
            "fold": self.fold,
            "n_epochs": self.n_epochs,
            "seconds": dict(self.seconds),
            "validated": self.validated,
            "stopped_early": self.stopped_early,
            "gpu_hours": self.gpu_hours,
            "peak_memory_bytes": dict(self.peak_memory_bytes),
            "commit_sha256": self.commit_sha256,
            "cases": {
                case.case_id: {label_name: asdict(score) for label_name, score in case.scores.items()}
                for case in self.cases
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], inputs: FoldInputs) -> "FoldResult":
        """Reads what `to_json` wrote; older summaries do not say what the fold took, nor its commit."""
        cases = (
            CaseResult(case_id, {label_name: LabelScore(**score) for label_name, score in scores.items()})
            for case_id, scores in content["cases"].items()
        )
        return cls(
            fold=content["fold"],
            inputs=inputs,
            cases=tuple(cases),
            n_epochs=content["n_epochs"],
            seconds=dict(content["seconds"]),
            validated=content["validated"],
            stopped_early=content["stopped_early"],
            gpu_hours=content.get("gpu_hours"),
            peak_memory_bytes=dict(content.get("peak_memory_bytes", {})),
            commit_sha256=content.get("commit_sha256"),
        )


def read_fold_result(
    fold_folder: Path,
    labels: Mapping[str, int | Sequence[int]],
    manifest: Manifest,
    expected_cases: Sequence[str],
    *,
    file_ending: str,
    commit_sha256: str | None = None,
) -> FoldResult:
    """Returns the validation scores of a finished fold.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        labels: As for `read_case_results`.
        manifest: What the fold's COMMIT vouches for.
        expected_cases: The case ids of the split's validation set.
        file_ending: As for `read_case_results`.
        commit_sha256: As in `FoldResult`.

    Raises:
        SummaryError: As for `read_case_results`; or the file is not the committed one, or the manifest another fold's.
    """
    if manifest.fold != fold_folder.name:
        raise SummaryError(
            f"The manifest in {fold_folder} is that of {manifest.fold}: the folder was copied or renamed. Give it back "
            f"its name, or remove it and train {fold_folder.name}."
        )
    path = fold_folder / SUMMARY_FILE
    content = _read(path)
    cases = _case_results(content, path, labels, expected_cases, file_ending)
    if hashlib.sha256(content).hexdigest() != manifest.files.get(SUMMARY_FILE):
        raise SummaryError(
            f"{path} is not the file that {manifest.fold} was committed with: something else wrote it since. {_REMEDY}"
        )
    return FoldResult(
        fold=manifest.fold,
        inputs=manifest.inputs,
        cases=cases,
        n_epochs=manifest.n_epochs,
        seconds=dict(manifest.seconds),
        validated=manifest.validated,
        stopped_early=manifest.details.get("stopped_early"),
        gpu_hours=manifest.gpu_hours,
        peak_memory_bytes=dict(manifest.peak_memory_bytes),
        commit_sha256=commit_sha256,
    )


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
    return _case_results(_read(path), path, labels, expected_cases, file_ending)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SummaryError(f"The scores of a fold in {path} cannot be read: {error.strerror}. {_REMEDY}") from error


def _case_results(
    content: bytes,
    path: Path,
    labels: Mapping[str, int | Sequence[int]],
    expected_cases: Sequence[str],
    file_ending: str,
) -> tuple[CaseResult, ...]:
    names = _names_by_values(labels)
    try:
        entries = list(json.loads(content)["metric_per_case"])
    except (ValueError, KeyError, TypeError) as error:
        raise SummaryError(
            f"{path} is torn, or not an evaluation of nnU-Net with its metric_per_case ({error!r}). {_REMEDY}"
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
        file_name = Path(entry["prediction_file"]).name
        # "1" is a label, "(1, 2)" a region.
        scores = {
            frozenset(map(int, re.findall(r"\d+", key))): (metrics["Dice"], metrics["IoU"])
            for key, metrics in entry["metrics"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise SummaryError(f"A case in {path} is not as nnU-Net writes it: {error!r}. {_REMEDY}") from error
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
        raise SummaryError(f"Of Dice and IoU of {where} only one is defined. {_REMEDY}")
    return score


def _number(value: Any, where: str) -> float | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SummaryError(f"The score of {where} is {value!r}, not a number from 0 to 1. {_REMEDY}")
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
