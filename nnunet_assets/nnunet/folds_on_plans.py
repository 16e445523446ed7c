"""The folds that were trained on plans and preprocessed cases, and what another version of nnU-Net would make of them.

Another minor version may plan otherwise, which makes folds that are finished those of other plans; and it preprocesses
every case anew, on which an interrupted fold does not go on without its user's word. So what folds were trained on is
not made anew by the way, but by that word.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version

from nnunet_assets.core.version_history import NNUNET, is_other_minor
from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.nnunet.split_users import folds_of_others
from nnunet_assets.nnunet.trained_folds import TrainedFold, cost_sentence, trained_folds


def refuse_other_version(prepared: PreparedDataset, plans: str, configurations: Sequence[str], raw_hash: str) -> None:
    """Passes where what is to be made anew was made by the same minor version of nnU-Net, or no fold is of it.

    Args:
        prepared: The dataset.
        plans: Plans identifier.
        configurations: The configurations whose cases are to be made, or to be planned again.
        raw_hash: Digest of the raw data as they are: folds of other data are none of what is there.

    Raises:
        PlanningError: Folds were trained on what another minor version made.
    """
    now = version(NNUNET)
    makers = [maker for maker in _makers(prepared, plans, configurations) if is_other_minor(maker, now)]
    folds = _folds_on(prepared, plans, raw_hash) if makers else []
    if not folds:
        return
    raise PlanningError(
        f"{prepared.dataset} was prepared with {plans} by {NNUNET} {makers[0]}, and {now} is installed. Another minor "
        "version may plan and preprocess otherwise, so that it is not prepared anew without your word. "
        f"{cost_sentence(folds)} Where the plans change, none of them is of the plans any more; an interrupted one "
        f"does not go on by itself. Install the version of then (pip install {NNUNET}=={makers[0]}); or have the data "
        "prepared anew: `--despite-changes`, or `despite_changes: true` in the config of the run that materializes "
        "preprocessed_plans."
    )


def _makers(prepared: PreparedDataset, plans: str, configurations: Sequence[str]) -> Iterator[str]:
    """Yields the versions of nnU-Net that made the plans and the newest cases."""
    if (planned_by := (prepared.plans_stamp(plans) or {}).get(NNUNET)) is not None:
        yield str(planned_by)
    with suppress(PlanningError):  # plans that a kill left torn are planned again
        for configuration in prepared.needed_configurations(plans, configurations):
            earlier = prepared.earlier_ingredients(plans, configuration)
            if earlier and NNUNET in earlier.read:
                yield str(json.loads(earlier.read[NNUNET]))


def _folds_on(prepared: PreparedDataset, plans: str, raw_hash: str) -> list[TrainedFold]:
    """Returns the folds that were trained or begun here, in this results folder or another one that is known."""
    roots = prepared.roots
    others = folds_of_others(prepared, roots).values()
    return [
        fold
        for fold in [*trained_folds(roots, prepared.dataset), *(fold for folds in others for fold in folds)]
        if fold.splits_hash is not None
        and fold.raw_hash in (None, raw_hash)
        and fold.experiment.split(" / ")[-1].split("__")[1:2] == [plans]
    ]
