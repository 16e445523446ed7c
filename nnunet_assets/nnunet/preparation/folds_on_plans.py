"""The folds that were trained on plans and preprocessed cases, and what another version of nnU-Net would make of them.

Another minor version may plan otherwise, which makes folds that are finished those of other plans; and it preprocesses
every case anew, on which an interrupted fold does not go on without its user's word. So what folds were trained on is
not made anew by the way, but by that word.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version

from nnunet_assets.core.files.layout import DEFAULT_PLANS
from nnunet_assets.core.fold.version_history import NNUNET, is_other_minor
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.prepared.case_sets import sets_in
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.splits.split_users import folds_of_others
from nnunet_assets.nnunet.splits.trained_folds import TrainedFold, cost_sentence, trained_folds


def refuse_other_version(prepared: PreparedFolder, plans: str, configurations: Sequence[str], raw_hash: str) -> None:
    """Passes where what is to be made anew was made by the same minor version of nnU-Net, or no fold is of it.

    Args:
        prepared: The dataset.
        plans: Plans identifier.
        configurations: The configurations whose cases are to be made, or to be planned again.
        raw_hash: Digest of the raw data as they are: folds of other data are none of what is there.

    Raises:
        PlanningError: Folds were trained on what another minor version made.
    """
    now, folders = version(NNUNET), _folders(prepared, plans, configurations)
    makers = [maker for maker in _makers(prepared, plans, folders) if is_other_minor(maker, now)]
    folds = _folds_on(prepared, plans, folders, raw_hash) if makers else []
    if not folds:
        return
    raise PlanningError(
        f"{prepared.dataset} was prepared by {NNUNET} {makers[0]}, and {now} is installed. Another minor version may "
        f"plan and preprocess otherwise, so that it is not prepared anew, with {plans}, without your word. "
        f"{cost_sentence(folds)} Where the plans change, none of them is of the plans any more; an interrupted one "
        f"does not go on by itself. Install the version of then (pip install {NNUNET}=={makers[0]}); or have the data "
        "prepared anew: `--despite-changes`, or `despite_changes: true` in the config of the run that materializes "
        "preprocessed_plans."
    )


def _folders(prepared: PreparedFolder, plans: str, configurations: Sequence[str]) -> list[str]:
    """Returns the names of nnU-Net's folders of the cases that are to be made.

    Several plans may share one: those of nnU-Net's own planners take the cases of `nnUNetPlans`.
    """
    with suppress(PlanningError, DamagedFileError):  # plans that a kill left torn are planned again
        known = prepared.plans(plans)
        if needed := known.needed(configurations):
            return [known.cases_folder(configuration).name for configuration in needed]
    return [f"{name}_{configuration}" for name in (plans, DEFAULT_PLANS) for configuration in configurations]


def _makers(prepared: PreparedFolder, plans: str, folders: Sequence[str]) -> Iterator[str]:
    """Yields the versions of nnU-Net that made the plans and the newest cases."""
    if (planned_by := (plans_stamp(prepared, plans) or {}).get(NNUNET)) is not None:
        yield str(planned_by)
    for folder in folders:
        whole = (found for found in sets_in(prepared.own / "cases" / folder) if found.is_whole)
        if (newest := next(whole, None)) and (made_from := newest.ingredients()) and NNUNET in made_from.read:
            yield str(json.loads(made_from.read[NNUNET]))


def _folds_on(prepared: PreparedFolder, plans: str, folders: Collection[str], raw_hash: str) -> list[TrainedFold]:
    """Returns the folds that were trained or begun here, in this results folder or another one that is known."""
    others = folds_of_others(prepared).values()

    def is_concerned(fold: TrainedFold) -> bool:
        names = fold.experiment.split(" / ")[-1].split("__")
        if len(names) != 3:  # a copy under another name
            return False
        with suppress(PlanningError, DamagedFileError):
            return names[1] == plans or prepared.plans(names[1]).cases_folder(names[2]).name in folders
        return False

    return [
        fold
        for fold in [*trained_folds(prepared.roots, prepared.dataset), *(fold for folds in others for fold in folds)]
        if fold.splits_hash is not None and fold.raw_hash in (None, raw_hash) and is_concerned(fold)
    ]
