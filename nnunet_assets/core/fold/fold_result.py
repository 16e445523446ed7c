"""What a finished fold scored, and what it was made from.

Only scores that the fold's manifest vouches for, of exactly the cases of the split, become a result: an old prediction
left in the folder would otherwise be averaged in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold, FoldInputs, Manifest, has_committed_scores
from nnunet_assets.core.fold.fold_provenance import FoldProvenance, settings_of
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.core.validation.case_results import REMEDY, CaseResult, LabelScore, case_results, read_scores
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.errors import SummaryError


@dataclass(frozen=True)
class ScoredFold:
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
        commit_sha256: What names the finished fold, see `FinishedFold`; None: not known.
        settings: As in `FoldProvenance`; not in a summary's file, whose folds were found to be of one provenance.
        is_adopted: As in `FoldProvenance`.
        training: Where its curves ended, and its MLflow run; not in a summary's file either.
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
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    is_adopted: bool = field(default=False, compare=False)
    training: TrainingEnd = field(default=TrainingEnd(), compare=False)

    @property
    def provenance(self) -> FoldProvenance:
        """What the scores come from."""
        return FoldProvenance(self.inputs, self.validated, self.settings, self.is_adopted)

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
    def from_json(cls, content: Mapping[str, Any], inputs: FoldInputs) -> "ScoredFold":
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
    commit_sha256: str,
) -> ScoredFold:
    """Returns the validation scores of a fold from its files, which need not be those that it was committed with.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        labels: As for `read_case_results`.
        manifest: What the fold's COMMIT vouches for.
        expected_cases: The case ids of the split's validation set.
        file_ending: As for `read_case_results`.
        commit_sha256: As in `ScoredFold`.

    Raises:
        SummaryError: As for `read_case_results`; or the file is not the committed one, or the manifest another fold's.
    """
    _refuse_other_fold(fold_folder, manifest)
    path = fold_folder / SUMMARY_FILE
    content = read_scores(path)
    cases = case_results(content, path, labels, expected_cases, file_ending)
    if not has_committed_scores(fold_folder, manifest, content, commit_sha256):
        raise SummaryError(
            f"{path} does not hold the scores that {manifest.fold} was committed with: something else wrote it since. "
            f"{REMEDY}"
        )
    return _result(manifest, cases, commit_sha256)


def fold_result(finished: FinishedFold, description: Mapping[str, Any]) -> ScoredFold:
    """Returns the validation scores of a finished fold as it was read.

    Args:
        finished: The fold.
        description: The dataset.json that it was trained with.

    Raises:
        SummaryError: As for `read_case_results`; or the manifest is another fold's.
    """
    folder, manifest = finished.folder, finished.manifest
    labels, ending, cases = description["labels"], description["file_ending"], manifest.details["validation_cases"]
    if finished.summary is None:  # which says what is missing
        return read_fold_result(folder, labels, manifest, cases, file_ending=ending, commit_sha256=finished.sha256)
    _refuse_other_fold(folder, manifest)
    found = case_results(finished.summary, folder / SUMMARY_FILE, labels, cases, ending)
    return _result(manifest, found, finished.sha256)


def _refuse_other_fold(fold_folder: Path, manifest: Manifest) -> None:
    if manifest.fold != fold_folder.name:
        raise SummaryError(
            f"The manifest in {fold_folder} is that of {manifest.fold}: the folder was copied or renamed. Give it back "
            f"its name, or remove it and train {fold_folder.name}."
        )


def _result(manifest: Manifest, cases: tuple[CaseResult, ...], commit_sha256: str) -> ScoredFold:
    return ScoredFold(
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
        settings=settings_of(manifest.details),
        is_adopted=manifest.is_adopted,
    )
