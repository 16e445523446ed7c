"""Which of some ensembles can be made, looked at before anything is predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.errors import FoldError, NnunetAssetsError
from nnunet_assets.nnunet.ensembles.agreement import check_agreement
from nnunet_assets.nnunet.probabilities.finished_member import FinishedMember, finished_member


@dataclass(frozen=True)
class PossibleEnsembles:
    """What can be made of what is wanted.

    Attributes:
        members: Of those that can be made, by name.
        unfit: Experiments that can be no member, by their name in the dataset, with the reason.
        unlike: Ensembles whose members do not agree, with the reason.
    """

    members: Mapping[str, tuple[Experiment, ...]]
    unfit: Mapping[str, str]
    unlike: Mapping[str, str]


def possible_ensembles(
    roots: Roots, wanted: Mapping[str, Sequence[Experiment]], folds: Sequence[str]
) -> PossibleEnsembles:
    """Returns which of the ensembles can be made of these folds; the checkpoints of all members are read."""
    read: dict[Experiment, list[FinishedMember]] = {}
    unfit: dict[str, str] = {}
    for member in dict.fromkeys(member for members in wanted.values() for member in members):
        try:
            read[member] = [finished_member(roots, member, fold) for fold in folds]
        except NnunetAssetsError as error:
            unfit[member.name_in_dataset] = str(error)
    possible, unlike = {}, {}
    for name, members in wanted.items():
        if not all(member in read for member in members):
            continue
        try:
            for of_fold in zip(*(read[member] for member in members), strict=True):
                check_agreement(of_fold)
        except FoldError as error:
            unlike[name] = str(error)
        else:
            possible[name] = tuple(members)
    return PossibleEnsembles(possible, unfit, unlike)
