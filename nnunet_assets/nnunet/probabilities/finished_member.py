"""A finished fold whose validation cases can be predicted again: what predicts them, from what, and how large it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import Experiment, Roots, fold_index
from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT, FinishedFold
from nnunet_assets.core.fold.fold import UNFINISHED, Fold
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.folds.cascade import PREDICTION_SUFFIXES, check_previous_stage
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore


@dataclass(frozen=True)
class FinishedMember:
    """A finished fold, and the preprocessed cases that it was validated on.

    Attributes:
        experiment: What it is of.
        finished: The fold; every byte of its checkpoint was read.
        checkpoint: File name of the checkpoint by which it was validated.
        checkpoint_sha256: Of that file.
        dataset: What it was trained on, as it is now.
        description: The dataset.json of the model.
        previous_folder: Where the stage before predicted the cases; None: no cascade.
        cases: Each validation case with the digest of what its probabilities are made from.
    """

    experiment: Experiment
    finished: FinishedFold
    checkpoint: str
    checkpoint_sha256: str
    dataset: PreparedDataset
    description: DatasetDescription
    previous_folder: Path | None
    cases: Mapping[str, str]

    @property
    def fold(self) -> str:
        """`fold_0` ..."""
        return self.finished.folder.name

    @property
    def number(self) -> int:
        """nnU-Net's number of the fold."""
        return int(fold_index(self.fold))

    @property
    def model_folder(self) -> Path:
        """nnU-Net's folder of the model."""
        return self.finished.folder.parent

    @property
    def n_heads(self) -> int:
        """How many numbers a voxel has: a label each and one for the background; regions have none."""
        n_labels = len(self.description.foreground)
        return n_labels if self.description.has_regions else n_labels + 1

    def store(self, roots: Roots) -> ProbabilityStore:
        """Returns where its probabilities lie, or would lie."""
        return ProbabilityStore.of(self.experiment, roots, self.fold)


def finished_member(roots: Roots, experiment: Experiment, fold: str) -> FinishedMember:
    """Returns a fold that can predict its validation cases again; its checkpoint is read (0.6 s a gigabyte).

    Raises:
        FoldError: It is not finished or has no checkpoint; data, plans or splits are others than it was trained with;
            or its validation cases are not those of the split.
    """
    found = Fold.read(experiment.place_of(roots, fold), check_files=True)
    if found.finished is None:
        raise FoldError(
            f"{fold} of {experiment.title} is not finished ({UNFINISHED[found.state]}), and its probabilities are "
            "needed. Train it first; a model of all cases (fold_all) has no validation cases to be scored on."
        )
    finished = found.finished
    dataset = PreparedDataset.read(PreparedFolder(roots, experiment.dataset), experiment.plans)
    _refuse_other_inputs(dataset, experiment, finished)
    check_previous_stage(dataset, experiment)
    checkpoint = BEST_CHECKPOINT if finished.manifest.validated == BEST_CHECKPOINT else FINAL_CHECKPOINT
    checkpoint_sha256 = _checkpoint_sha256(finished, checkpoint)
    stage = experiment.previous_stage(dataset.plans.configurations)
    previous = stage.model_folder(roots) / "predicted_next_stage" / experiment.configuration if stage else None
    made_with = [checkpoint_sha256, file_sha256(finished.folder.parent / "plans.json"), version("nnunetv2")]
    cases = finished.manifest.details["validation_cases"]
    made_from = _made_from(dataset, experiment, previous, cases)
    return FinishedMember(
        experiment=experiment,
        finished=finished,
        checkpoint=checkpoint,
        checkpoint_sha256=checkpoint_sha256,
        dataset=dataset,
        description=parse_dataset_json(finished.folder.parent / DATASET_JSON),
        previous_folder=previous,
        cases={case: json_sha256([*made_with, made]) for case, made in made_from.items()},
    )


def _refuse_other_inputs(dataset: PreparedDataset, experiment: Experiment, finished: FinishedFold) -> None:
    inputs, fold = finished.manifest.inputs, finished.folder.name
    now = fold_inputs(dataset, experiment, fold, inputs.training_hash)
    changed = [text for text in inputs.differences(now) if "unknown" not in text]
    plans_file = finished.folder.parent / "plans.json"
    if not changed and inputs.plans_hash not in (
        "unknown",
        *plans_digests(read_json(plans_file) or {}, experiment.configuration, plans_file),
    ):
        changed = [f"plans ({plans_file})"]
    if changed:
        raise FoldError(
            f"{fold} of {experiment.title} was trained with other {' and '.join(changed)} than there is now: its "
            "validation cases cannot be predicted again. Train it again, or restore what it was trained with."
        )


def _checkpoint_sha256(finished: FinishedFold, checkpoint: str) -> str:
    if known := finished.manifest.files.get(checkpoint):
        return known
    file = finished.folder / checkpoint
    if not file.is_file():
        raise FoldError(
            f"{finished.folder} has no {checkpoint} to predict with: it was trained without checkpoints, or the file "
            "was deleted. Train it again, without disable_checkpointing."
        )
    return file_sha256(file)


def _made_from(
    dataset: PreparedDataset, experiment: Experiment, previous: Path | None, cases: list[str]
) -> dict[str, object]:
    """Returns each case with the digests of its preprocessed files, and of what the stage before predicted of it."""
    records = dataset.case_set(experiment.configuration).records()
    if missing := [case for case in cases if case not in records]:
        raise FoldError(
            f"{experiment.title} was validated on cases that are not preprocessed any more: {first_offenders(missing)}."
            " Materialize preprocessed_plans first."
        )
    return {
        case: [{name: file.sha256 for name, file in records[case].files.items()}, _previous_sha256(previous, case)]
        for case in cases
    }


def _previous_sha256(previous: Path | None, case: str) -> str | None:
    if previous is None:
        return None
    files = (previous / f"{case}{suffix}" for suffix in PREDICTION_SUFFIXES)
    return next(file_sha256(file) for file in files if file.is_file())
