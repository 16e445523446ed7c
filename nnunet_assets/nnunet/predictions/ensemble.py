"""The folds of a cross-validation as one model: nnU-Net's ensemble, which predicts with the mean of their logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, Roots
from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT, FoldInputs, Manifest, read_committed
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.results.results import collect_fold_results


@dataclass(frozen=True)
class Ensemble:
    """The finished folds of an experiment, all made from the same.

    Attributes:
        experiment: Whose folds they are.
        folder: nnU-Net's folder of the model.
        folds: `fold_0` ...
        checkpoint: The file in each fold: the one by which the fold was validated, the final one where nobody knows.
        digest: Names what the predictions depend on beside the images.
    """

    experiment: Experiment
    folder: Path
    folds: tuple[str, ...]
    checkpoint: str
    digest: str

    @property
    def member(self) -> Member:
        """The same as what predicts; of a cascade without the stage before."""
        return Member(self.experiment, self.folder, self.folds, self.checkpoint)


def finished_ensemble(roots: Roots, experiment: Experiment, folds: Sequence[str]) -> Ensemble:
    """Returns the ensemble of all expected folds; every byte of their checkpoints is read (0.6 s a gigabyte).

    A model of every case, `fold_all`, is an ensemble of one.

    Their COMMITs vouch for the checkpoints: these were written here, or read without running code when the fold was
    adopted. nnU-Net's own predictor would run whatever code a checkpoint from elsewhere carries.

    Args:
        folds: The expected folds, or `fold_all` alone.

    Raises:
        FoldError: None is named, or `fold_all` beside others; folds are not finished, have no checkpoint, or the
            model's folder has other plans than theirs.
        SummaryError: The folds were not made from the same.
    """
    if not folds or (FULL_FOLD in folds and len(folds) > 1):
        raise FoldError(
            f"{experiment.title} does not predict with the folds {first_offenders(folds) or 'of an empty list'}: name "
            f"those of its cross-validation, or {FULL_FOLD} alone, which was trained on every case."
        )
    folder = experiment.model_folder(roots)
    manifests = {fold: read_committed(folder / fold, check_files=True) for fold in folds}
    finished = {fold: manifest for fold, manifest in manifests.items() if manifest}
    if missing := [fold for fold in folds if fold not in finished]:
        raise FoldError(
            f"Every fold of {experiment.title} predicts together with the others, and {len(missing)} of "
            f"{len(folds)} {'is' if len(missing) == 1 else 'are'} not finished, or changed since: "
            f"{first_offenders(missing)}. Train what is missing first."
        )
    inputs, validated = _made_from(roots, experiment, finished)
    checkpoint = BEST_CHECKPOINT if validated == BEST_CHECKPOINT else FINAL_CHECKPOINT
    _check_plans(folder, experiment, inputs.plans_hash)
    made_of = {
        "checkpoints": {fold: _checkpoint_sha256(folder / fold, finished[fold], checkpoint) for fold in folds},
        "plans": file_sha256(folder / "plans.json"),
        "dataset_json": file_sha256(folder / DATASET_JSON),
        "nnunetv2": version("nnunetv2"),
    }
    return Ensemble(experiment, folder, tuple(folds), checkpoint, json_sha256(made_of))


def _made_from(roots: Roots, experiment: Experiment, finished: Mapping[str, Manifest]) -> tuple[FoldInputs, str]:
    """Returns what all folds were made from, and the checkpoint by which they were validated."""
    if FULL_FOLD in finished:
        return finished[FULL_FOLD].inputs, finished[FULL_FOLD].validated
    summary = summarize(experiment, list(finished), collect_fold_results(roots, experiment, list(finished)))
    return summary.inputs, summary.folds[0].validated


def _check_plans(folder: Path, experiment: Experiment, plans_hash: str) -> None:
    """Refuses plans that a fold which only began to train wrote over those of the finished ones."""
    plans_file = folder / "plans.json"
    if plans_hash not in plans_digests(read_json(plans_file) or {}, experiment.configuration, plans_file):
        raise FoldError(
            f"{plans_file}, by which nnU-Net predicts, is missing or not what the folds of "
            f"{experiment.title} were trained with. Restore it from nnUNet_preprocessed, or train the folds again."
        )


def _checkpoint_sha256(fold_folder: Path, manifest: Manifest, checkpoint: str) -> str:
    if checkpoint in manifest.files:
        return manifest.files[checkpoint]
    if not (fold_folder / checkpoint).is_file():
        raise FoldError(
            f"{fold_folder} has no {checkpoint} to predict with: it was trained without checkpoints, or the file was "
            "deleted. Train it again, without disable_checkpointing."
        )
    return file_sha256(fold_folder / checkpoint)
