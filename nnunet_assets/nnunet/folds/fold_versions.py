"""Whether a fold may go on under the programs that are installed now, and the note of which they are."""

import json
import platform

from nnunet_assets.core.files.layout import Experiment, FoldPlace
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.core.fold.version_history import (
    NNUNET,
    Stage,
    changes,
    followed_by,
    is_other_minor,
    read_stages,
    write_stages,
)
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.training.parameters import package_versions


def check_versions(place: FoldPlace, *, despite_changes: bool, progress: Progress = SILENT) -> None:
    """Passes where an interrupted training may go on under the versions that are installed, and says which are others.

    A fold that is trained to its end has only its validation before it, which is a prediction: it goes on.

    Args:
        place: Of the fold.
        despite_changes: The user's word to go on all the same.
        progress: Is warned of other versions.

    Raises:
        FoldError: Another minor version of nnU-Net began it.
    """
    stages = read_stages(place.folder)
    if not stages or not n_saved_epochs(place.folder):
        return
    changed = changes(stages[-1].versions, installed_versions())
    was, now = changed.get(NNUNET, ("", ""))
    if is_other_minor(was, now) and not (despite_changes or (place.folder / FINAL_CHECKPOINT).is_file()):
        raise FoldError(_refusal(place.title, f"was trained so far with {NNUNET} {was}, and {now} is installed", was))
    if changed:
        shown = ", ".join(f"{name} {before}, now {after}" for name, (before, after) in changed.items())
        progress.warn(
            f"{place.title} goes on under other versions than it was trained with so far: {shown}. Both are recorded; "
            "what comes out is not, bit for bit, what either alone would make."
        )


def note_stage(place: FoldPlace, dataset: PreparedDataset, *, despite_changes: bool) -> None:
    """Notes which versions go on with the fold, and which made its cases.

    Raises:
        FoldError: Another minor version of nnU-Net made the cases than those that the fold was trained on so far.
    """
    stages = read_stages(place.folder)
    is_trained = (place.folder / FINAL_CHECKPOINT).is_file()
    n_epochs = n_saved_epochs(place.folder) or 0
    cases = _makers_of_cases(dataset, place.experiment)
    before = stages[-1].cases if stages and n_epochs and not is_trained else {}
    other = [name for name, was in before.items() if name in cases and is_other_minor(was, cases[name])]
    if other and not despite_changes:
        was, anew = before[other[0]], cases[other[0]]
        what = f"was trained so far on cases that {NNUNET} {was} preprocessed, and {anew} preprocessed them anew"
        raise FoldError(_refusal(place.title, what, was))
    now = Stage(n_epochs, "validation" if is_trained else "training", installed_versions(), cases)
    write_stages(place.folder, followed_by(stages, now))


def installed_versions() -> dict[str, str]:
    """Returns package name to version of what the fold's process will load, and Python's own."""
    return {**package_versions(), "python": platform.python_version()}


def _makers_of_cases(dataset: PreparedDataset, experiment: Experiment) -> dict[str, str]:
    makers = {}
    for name in dataset.plans.needed([experiment.configuration]):
        made_from = dataset.case_set(name).ingredients()
        if made_from and NNUNET in made_from.read:
            makers[dataset.plans.cases_folder(name).name] = str(json.loads(made_from.read[NNUNET]))
    return makers


def _refusal(title: str, what: str, was: str) -> str:
    return (
        f"{title} {what}. Another minor version may train otherwise, so that the fold would be of neither. Install the "
        f"one that began it (pip install {NNUNET}=={was}) and prepare the data with it; or train the fold anew with "
        "retrain, which keeps what is there; or go on all the same: `--despite-changes`, or `despite_changes: true` in "
        "the run's config. Then both are recorded."
    )
