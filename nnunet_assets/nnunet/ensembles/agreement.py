"""Which experiments may be one ensemble: those whose folds validated the same cases of the same data and split.

Plans, configuration, trainer and variant may be any: probabilities lie in the geometry of the original images. What a
number of theirs stands for must be the same: the labels, or the regions in their order.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.errors import ConfigError, FoldError, first_offenders
from nnunet_assets.nnunet.probabilities.finished_member import FinishedMember


def check_names(dataset: str, members: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Returns the members in the order in which their probabilities are added: that of their names.

    Raises:
        ConfigError: There are fewer than two, one is there twice, of another dataset, or an ensemble itself.
    """
    names = [member.name_in_dataset for member in members]
    if len(members) < 2:
        raise ConfigError(f"An ensemble of {dataset} has two members or more, not {len(members)}. Name another one.")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{repeated} is a member of the ensemble twice. Name it once.")
    for member in members:
        if member.dataset != dataset:
            raise ConfigError(f"{member.title} is of another dataset than the ensemble, {dataset}. Leave it out.")
        if member.is_ensemble:
            raise ConfigError(
                f"{member.title} is an ensemble, and the members of one are experiments. Name its members in its place."
            )
    return tuple(sorted(members, key=lambda member: member.name_in_dataset))


def check_agreement(members: Sequence[FinishedMember]) -> None:
    """Passes where the members, all the same fold of their experiments, may be one ensemble.

    Raises:
        FoldError: One differs from the first in its data, splits, validation cases, labels or files.
    """
    first, *others = members
    for other in others:
        if differences := [*_differences(first, other)]:
            raise FoldError(
                f"{first.experiment.title} and {other.experiment.title} cannot be one ensemble: in {first.fold} they "
                f"differ in {', '.join(differences)}. Train the older of the two again, or leave one out."
            )


def joint_inputs(members: Sequence[FinishedMember]) -> FoldInputs:
    """Returns what an ensemble's fold is made from; what is unknown of one member is unknown of it."""
    inputs = {member.experiment.name_in_dataset: member.finished.manifest for member in members}
    return FoldInputs(
        raw_hash=_joint([one.inputs.raw_hash for one in inputs.values()]),
        plans_hash=json_sha256({name: one.inputs.plans_hash for name, one in inputs.items()}),
        splits_hash=_joint([one.inputs.splits_hash for one in inputs.values()]),
        # Of adopted folds the settings decide whether they are of one training, and not this digest.
        training_hash=json_sha256(
            {name: UNKNOWN if one.is_adopted else one.inputs.training_hash for name, one in inputs.items()}
        ),
    )


def _differences(first: FinishedMember, other: FinishedMember) -> Iterator[str]:
    left, right = (
        FoldInputs(one.raw_hash, UNKNOWN, one.splits_hash, UNKNOWN)
        for one in (first.finished.manifest.inputs, other.finished.manifest.inputs)
    )
    # What is unknown of an adopted fold is told by the cases that it validated.
    yield from (text for text in left.differences(right) if "unknown" not in text)
    if {*first.cases} != {*other.cases}:
        odd = sorted({*first.cases} ^ {*other.cases})
        yield f"the cases that they validated ({first_offenders(odd)} in one of them only)"
    if _heads(first.description) != _heads(other.description):
        yield f"their labels ({_heads(first.description)} and {_heads(other.description)})"
    if first.description.file_ending != other.description.file_ending:
        yield f"the ending of their files ({first.description.file_ending} and {other.description.file_ending})"


def _heads(description: DatasetDescription) -> Any:
    """Returns what the numbers of a voxel stand for; of regions their order counts, too."""
    if description.has_regions:
        return [*description.labels.items()], description.regions_class_order
    return dict(sorted(description.labels.items()))


def _joint(hashes: Sequence[str]) -> str:
    return UNKNOWN if UNKNOWN in hashes else hashes[0]
