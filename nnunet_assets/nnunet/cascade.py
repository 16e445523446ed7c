"""The cascade: `3d_cascade_fullres` reads what the folds of `3d_lowres` predicted for their validation cases.

On disk: `predicted_next_stage/3d_cascade_fullres/CASE.b2nd` in the model folder of the previous stage (`.npz` or `.npy`
where the cases were preprocessed by an older nnU-Net). Each fold of the previous stage writes its validation cases.
"""

from nnunet_assets.core.layout import Experiment, Roots
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.prepared import PreparedDataset

PREDICTION_SUFFIXES = (".b2nd", ".npz", ".npy")


def check_previous_stage(roots: Roots, experiment: Experiment) -> None:
    """Passes where every case has a prediction of the previous stage, or there is no previous stage.

    nnU-Net finds out in a data loader's worker, long after the start.

    Raises:
        FoldError: Some have none.
    """
    previous = experiment.previous_stage
    if previous is None:
        return
    folder = previous.model_folder(roots) / "predicted_next_stage" / experiment.configuration
    predicted = {path.stem for suffix in PREDICTION_SUFFIXES for path in folder.glob(f"*{suffix}")}
    missing = [case for case in PreparedDataset(roots, experiment.dataset).read_raw().cases if case not in predicted]
    if missing:
        raise FoldError(
            f"{experiment.title} starts from the predictions of {previous.name}, and {len(missing)} cases have none in "
            f"{folder}: {first_offenders(missing)}. Train every fold of {previous.title} first; each predicts its "
            "validation cases."
        )
