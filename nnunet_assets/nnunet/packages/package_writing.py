"""A model written as a package: one folder that nnU-Net reads as it is, see `core.model.package_layout`.

It takes its name when it is whole and was read back. No case id, path, host or user of the training is in it: of the
files of a model only what nnU-Net predicts by goes along.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import dump_json, write_json_atomically
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import (
    MODEL_FILE,
    SCHEMA_VERSION,
    DescribedMember,
    ModelDescription,
)
from nnunet_assets.core.model.package_layout import PLANS_FILE, expected_files, member_path, within
from nnunet_assets.core.model.postprocessing_steps import POSTPROCESSING_FILE, steps_to_json
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.errors import PackageError, first_offenders
from nnunet_assets.nnunet.packages.expected_images import expected_images
from nnunet_assets.nnunet.packages.package_reading import ModelPackage, described_labels, open_own_package
from nnunet_assets.nnunet.packages.packed_files import packed_dataset_json, packed_plans
from nnunet_assets.nnunet.packages.slim_checkpoint import slim_bytes, write_slim_checkpoint
from nnunet_assets.processes.machine.disk_space import lacking_room

PACKED = "checkpoints packed"

CANNOT_TRAIN = (
    "The checkpoints hold what predicts, and no optimizer: they cannot be trained on, except as pretrained weights."
)
RESEARCH_USE = "Nobody said what the model is for. It is no medical device."


def write_package(model: UsableModel, about: AboutModel, folder: Path, progress: Progress = LOGGED) -> ModelPackage:
    """Writes the package of a model, and returns it as it was read back.

    Args:
        model: Of the project, or of another package.
        about: What its files do not say.
        folder: Of the package; must not be there yet.
        progress: Told how large it will be, and of each checkpoint.

    Raises:
        PackageError: There is something of that name, or the model cannot be packed: members of several datasets or
            with other labels, a checkpoint that is none, a path in plans.
        NnunetAssetsError: plans.json or dataset.json cannot be read.
    """
    if folder.exists() or folder.is_symlink():
        raise PackageError(f"{folder} is there already. Name a folder that is not, or remove it first.")
    _refuse_other_datasets(model.members)
    members = _described(model)
    sources = _by_path(model.members)
    _refuse_unlike(sources)
    _refuse_lack_of_room(sources, folder, progress)
    remove_abandoned(folder.parent)
    with partial_folder(folder) as partial:
        _write_members(members, sources, partial, progress)
        write_json_atomically(partial / POSTPROCESSING_FILE, steps_to_json(model.postprocessing))
        description = _description(model, members, sources, about, partial)
        write_json_atomically(partial / MODEL_FILE, dataclass_to_json(description))
        open_own_package(partial)
        _refuse_changed(sources.values(), about)
    return open_own_package(folder, description)


def package_bytes(model: UsableModel) -> int:
    """Returns how large the package of a model will be, at most.

    Raises:
        PackageError: A checkpoint of it is none.
    """
    return sum(slim_bytes(file) for member in _by_path(model.members).values() for file in member.checkpoints)


def _write_members(
    members: Sequence[DescribedMember], sources: Mapping[str, Member], partial: Path, progress: Progress
) -> None:
    n, n_done = sum(len(member.folds) for member in members), 0
    progress.step(PACKED, 0, n)
    for member in members:
        source = sources[member.path]
        plans = packed_plans(source.folder / PLANS_FILE, member.configuration)
        # nnU-Net writes NaN into the plans of a dataset without foreground.
        write_atomically(partial / within(member, PLANS_FILE), dump_json(plans, allow_nan=True))
        write_json_atomically(partial / within(member, DATASET_JSON), packed_dataset_json(source.folder / DATASET_JSON))
        for fold, checkpoint in zip(member.folds, source.checkpoints, strict=True):
            write_slim_checkpoint(checkpoint, partial / within(member, f"{fold}/{member.checkpoint}"))
            n_done += 1
            progress.step(PACKED, n_done, n)


def _by_path(members: Sequence[Member]) -> dict[str, Member]:
    """Returns every model of a package by its path in it: those that are averaged, then the stages before them."""
    is_single = len(members) == 1 and members[0].previous is None
    found: dict[str, Member] = {}
    line = list(members)
    while line:
        for member in line:
            path = member_path(member.experiment, is_single=is_single)
            if found.setdefault(path, member) != member:
                raise PackageError(
                    f"{member.experiment.title} is in the model twice, with other folds or from another folder. Take "
                    "it once."
                )
        line = [member.previous for member in line if member.previous]
    return found


def _described(model: UsableModel) -> tuple[DescribedMember, ...]:
    is_single = len(model.members) == 1 and model.members[0].previous is None
    averaged = {id(member) for member in model.members}
    return tuple(
        DescribedMember(
            name="/".join(member.experiment.key_prefix),
            path=path,
            dataset=member.experiment.dataset,
            trainer=member.experiment.trainer,
            plans=member.experiment.plans,
            configuration=member.experiment.configuration,
            variant=member.experiment.variant,
            folds=member.folds,
            checkpoint=member.checkpoint,
            weight=1 / len(model.members) if id(member) in averaged else 0.0,
            previous=member_path(member.previous.experiment, is_single=is_single) if member.previous else None,
        )
        for path, member in _by_path(model.members).items()
    )


def _refuse_other_datasets(members: Sequence[Member]) -> None:
    first = members[0].experiment
    if others := [member.experiment.title for member in members if member.experiment.dataset != first.dataset]:
        raise PackageError(f"{first.title} and {first_offenders(others)} are of two datasets, and a package is of one.")


def _refuse_unlike(sources: Mapping[str, Member]) -> None:
    """Refuses members that do not predict the same labels of the same images."""
    first, *others = sources.values()
    wanted = packed_dataset_json(first.folder / DATASET_JSON)
    for other in others:
        found = packed_dataset_json(other.folder / DATASET_JSON)
        if odd := [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]:
            raise PackageError(
                f"{first.experiment.title} and {other.experiment.title} have other {first_offenders(sorted(odd))} in "
                "their dataset.json, so that they do not predict the same. Train them again on one dataset."
            )


def _refuse_changed(members: Iterable[Member], about: AboutModel) -> None:
    """Refuses checkpoints that are not, or no longer, those of which a COMMIT vouches."""
    for member in members:
        known = about.inputs.get("/".join(member.experiment.key_prefix), {})
        for fold, file in zip(member.folds, member.checkpoints, strict=True):
            wanted = known.get(f"{fold}/{member.checkpoint}")
            if wanted and file_sha256(file) != wanted:
                raise PackageError(
                    f"{file} changed while {member.experiment.title} was packed, and no package was made. Wait until "
                    "nobody trains it, and pack it again."
                )


def _refuse_lack_of_room(sources: Mapping[str, Member], folder: Path, progress: Progress) -> None:
    needed = sum(slim_bytes(file) for member in sources.values() for file in member.checkpoints)
    folder.parent.mkdir(parents=True, exist_ok=True)
    progress.say(f"The package takes up to {needed / 1e6:.0f} MB.")
    if lack := lacking_room(folder.parent, needed, "The package needs"):
        raise PackageError(f"{lack} Make room there, or write it elsewhere.")


def _description(
    model: UsableModel,
    members: tuple[DescribedMember, ...],
    sources: Mapping[str, Member],
    about: AboutModel,
    partial: Path,
) -> ModelDescription:
    first = next(iter(sources.values()))
    labelled = parse_dataset_json(partial / within(members[0], DATASET_JSON))
    notes = [CANNOT_TRAIN, *([] if about.intended_use else [RESEARCH_USE]), *about.notes]
    description = ModelDescription(
        schema_version=SCHEMA_VERSION,
        title=model.title,
        kind="ensemble" if len(model.members) > 1 else "cascade" if len(members) > 1 else "single",
        members=members,
        labels=described_labels(labelled),
        regions_class_order=labelled.regions_class_order,
        images=expected_images(first.folder, first.experiment.configuration, about.n_cases, about.orientations),
        numbers=about.numbers,
        selection=about.selection,
        inputs=about.inputs,
        intended_use=about.intended_use,
        licence=about.licence,
        versions={name: version(name) for name in ("nnunetv2", "torch", "nnunet_assets")},
        files={},
        notes=tuple(notes),
    )
    files = {path: file_sha256(partial / path) for path in sorted(expected_files(description))}
    return ModelDescription(**{**vars(description), "files": files})
