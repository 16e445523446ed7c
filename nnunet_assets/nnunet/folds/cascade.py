"""The cascade: `3d_cascade_fullres` reads what the folds of `3d_lowres` predicted for their validation cases.

On disk: `predicted_next_stage/3d_cascade_fullres/CASE.b2nd` in the model folder of the previous stage (`.npz` or `.npy`
where the cases were preprocessed by an older nnU-Net). Each fold of the previous stage writes its validation cases.
"""

from collections.abc import Collection

from nnunet_assets.core.dataset.configurations import next_stages
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.fold import UNFINISHED, Fold
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs, fold_keys
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder

PREDICTION_SUFFIXES = (".b2nd", ".npz", ".npy")


def check_previous_stage(dataset: PreparedDataset, experiment: Experiment) -> list[str]:
    """Passes where every case has a prediction of the previous stage, or there is no previous stage.

    nnU-Net finds out in a data loader's worker, long after the start; and it takes predictions of any age.

    Returns:
        What names the finished folds of the previous stage, by which a fold of this one is made; none without it.

    Raises:
        FoldError: Some have none; or a fold of the previous stage is not finished, or was trained on other data, plans
            or splits than there are now: its predictions may be those of cases that it was trained on.
    """
    previous = experiment.previous_stage(dataset.plans.configurations)
    if previous is None:
        return []
    folder = previous.model_folder(dataset.place.roots) / "predicted_next_stage" / experiment.configuration
    predicted = {path.stem for suffix in PREDICTION_SUFFIXES for path in folder.glob(f"*{suffix}")}
    missing = [case for case in _cases_of_folds(dataset) if case not in predicted]
    if missing:
        _check_named(dataset.plans, previous, experiment)
        _check_predicted(dataset.place, missing)
    commits = [_finished(dataset, previous, fold).sha256 for fold in fold_keys(dataset)]
    if missing:
        raise FoldError(
            f"{experiment.title} starts from the predictions of {previous.name}, and {len(missing)} cases have none in "
            f"{folder}: {first_offenders(missing)}. Train every fold of {previous.title} first; each predicts its "
            "validation cases."
        )
    return commits


def _check_predicted(place: PreparedFolder, missing: Collection[str]) -> None:
    """Refuses a split with cases that train and are never validated: no fold of a stage predicts them."""
    splits = read_splits(place.folder)
    validated = {case for split in splits for case in split["val"]}
    if never := sorted(set(missing) - validated):
        raise FoldError(
            f"By the split of {place.dataset} these cases train and no fold validates them: {first_offenders(never)}. "
            "So no fold of a cascade's first stage predicts them, and nnU-Net would stop at the first of them in a "
            "data loader. A cascade needs a split that validates every case it trains on."
        )


def _cases_of_folds(dataset: PreparedDataset) -> list[str]:
    """Returns the cases that the split names; others are neither trained on nor validated."""
    splits = read_splits(dataset.place.folder) or []
    named = {case for split in splits for part in ("train", "val") for case in split[part]}
    return [case for case in dataset.raw.cases if case in named]


def _check_named(plans: Plans, previous: Experiment, experiment: Experiment) -> None:
    """Refuses plans in which only one of the two stages names the other: nnU-Net needs both."""
    planned, plans_file = plans.configurations, plans.file
    if experiment.configuration not in planned:
        return
    if previous.configuration not in planned:
        raise FoldError(
            f"In {plans_file} the previous_stage of {experiment.configuration} is {previous.configuration}, which is "
            f"not there. Available: {', '.join(planned)}."
        )
    if experiment.configuration not in next_stages(planned[previous.configuration]):
        raise FoldError(
            f"In {plans_file} the previous_stage of {experiment.configuration} is {previous.configuration}, whose "
            f"next_stage does not name it: its folds would predict nothing for {experiment.configuration}, and nnU-Net "
            f"would find that out in a data loader. Add {experiment.configuration} to the next_stage of "
            f"{previous.configuration} (a list may name several) before that is trained."
        )


def _finished(dataset: PreparedDataset, previous: Experiment, fold: str) -> FinishedFold:
    """Returns a fold of the previous stage, which must be finished, and of the dataset as it is now."""
    there = Fold.read(previous.place_of(dataset.place.roots, fold))
    if there.finished is None:
        remedy = "Wait for it." if there.state == "running" else "Train it."
        raise FoldError(
            f"{fold} of {previous.title} is not finished ({UNFINISHED[there.state]}), and the cascade reads its "
            f"predictions. {remedy}"
        )
    inputs = there.finished.manifest.inputs
    if changed := inputs.differences(fold_inputs(dataset, previous, fold, inputs.training_hash)):
        raise FoldError(
            f"{fold} of {previous.title} was trained with other {' and '.join(changed)} than there is now, and the "
            "cascade reads its predictions. Train it again first."
        )
    return there.finished
