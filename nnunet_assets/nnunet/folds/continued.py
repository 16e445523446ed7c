"""The fold that another one continues, looked up where it has to be finished."""

from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, Experiment
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold
from nnunet_assets.core.fold.continued_fold import DEFAULT_VARIANT, ContinuedFold
from nnunet_assets.core.fold.fold import UNFINISHED, Fold
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset


def continued_fold(dataset: PreparedDataset, parent: Experiment, fold: str) -> ContinuedFold:
    """Returns the fold of an experiment that is to be continued.

    Raises:
        FoldError: It is not finished, has no checkpoint, or was trained on other data, plans or splits than there are
            now.
        NnunetAssetsError: As `fold_inputs`.
    """
    there = finished_parent(Fold.read(parent.place_of(dataset.place.roots, fold)))
    manifest = there.manifest
    inputs = manifest.inputs
    if changed := inputs.differences(fold_inputs(dataset, parent, fold, inputs.training_hash)):
        raise FoldError(
            f"{fold} of {parent.title} was trained with other {' and '.join(changed)} than there is now, and is to be "
            "continued. Train it again first, or train anew, without `continues`."
        )
    checkpoint = manifest.files.get(FINAL_CHECKPOINT)
    if checkpoint is None:
        raise FoldError(
            f"{fold} of {parent.title} was trained without checkpoints, and cannot be continued. Train it again, with "
            "them."
        )
    title, variant = f"{parent.title}, {fold}", parent.variant or DEFAULT_VARIANT
    return ContinuedFold(title, variant, there.folder, checkpoint, manifest.n_epochs, inputs.training_hash)


def finished_parent(fold: Fold) -> FinishedFold:
    """Returns what is to be continued.

    Raises:
        FoldError: It is not finished.
    """
    if fold.finished is not None:
        return fold.finished
    experiment, index = fold.place.experiment, fold.place.fold.removeprefix("fold_")
    remedy = (
        "Wait for it."
        if fold.state == "running"
        else (
            f"Train it first: `nnunet-assets train {experiment.dataset} {experiment.configuration} {index}"
            f"{_flags(experiment)}`."
        )
    )
    raise FoldError(f"{fold.place.title} is to be continued and is not finished ({UNFINISHED[fold.state]}). {remedy}")


def _flags(experiment: Experiment) -> str:
    """Returns what names an experiment on the command line beside its dataset and configuration."""
    flags = {
        "-tr": experiment.trainer if experiment.trainer != DEFAULT_TRAINER else None,
        "-p": experiment.plans if experiment.plans != DEFAULT_PLANS else None,
        "--variant": experiment.variant,
    }
    return "".join(f" {flag} {value}" for flag, value in flags.items() if value)
