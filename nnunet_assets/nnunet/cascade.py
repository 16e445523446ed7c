"""The cascade: `3d_cascade_fullres` reads what the folds of `3d_lowres` predicted for their validation cases.

On disk: `predicted_next_stage/3d_cascade_fullres/CASE.b2nd` in the model folder of the previous stage (`.npz` or `.npy`
where the cases were preprocessed by an older nnU-Net). Each fold of the previous stage writes its validation cases.
"""

from nnunet_assets.core.commit import commit_sha256, read_committed
from nnunet_assets.core.layout import Experiment, Roots
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.fold_inputs import fold_inputs, fold_keys
from nnunet_assets.nnunet.prepared import PreparedDataset

PREDICTION_SUFFIXES = (".b2nd", ".npz", ".npy")


def check_previous_stage(roots: Roots, experiment: Experiment) -> None:
    """Passes where every case has a prediction of the previous stage, or there is no previous stage.

    nnU-Net finds out in a data loader's worker, long after the start; and it takes predictions of any age.

    Raises:
        FoldError: Some have none; or a fold of the previous stage is not finished, or was trained on other data, plans
            or splits than there are now: its predictions may be those of cases that it was trained on.
    """
    previous = experiment.previous_stage
    if previous is None:
        return
    _check_folds(roots, previous)
    folder = previous.model_folder(roots) / "predicted_next_stage" / experiment.configuration
    predicted = {path.stem for suffix in PREDICTION_SUFFIXES for path in folder.glob(f"*{suffix}")}
    missing = [case for case in PreparedDataset(roots, experiment.dataset).read_raw().cases if case not in predicted]
    if missing:
        raise FoldError(
            f"{experiment.title} starts from the predictions of {previous.name}, and {len(missing)} cases have none in "
            f"{folder}: {first_offenders(missing)}. Train every fold of {previous.title} first; each predicts its "
            "validation cases."
        )


def previous_stage_commits(roots: Roots, experiment: Experiment) -> list[str]:
    """Returns what names the finished folds of the previous stage, by which a fold of this one is made."""
    previous = experiment.previous_stage
    if previous is None:
        return []
    return [commit_sha256(previous.fold_folder(roots, fold)) for fold in fold_keys(roots, experiment.dataset)]


def _check_folds(roots: Roots, previous: Experiment) -> None:
    for fold in fold_keys(roots, previous.dataset):
        manifest = read_committed(previous.fold_folder(roots, fold))
        if manifest is None:
            raise FoldError(
                f"{fold} of {previous.title} is not finished, and the cascade reads its predictions. Train it."
            )
        now = fold_inputs(roots, previous, fold, manifest.inputs.training_hash)
        if changed := manifest.inputs.differences(now):
            raise FoldError(
                f"{fold} of {previous.title} was trained with other {' and '.join(changed)} than there is now, and the "
                "cascade reads its predictions. Train it again first."
            )
