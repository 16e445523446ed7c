"""A package opened without trust: every byte is vouched for by model.json, and nothing that it holds is run.

What is refused, each in a sentence: pickles, links, files too many, missing or changed, paths that leave the folder, a
model.json of another version or one that contradicts itself, checkpoints with more than weights or that unpack to more
than their size, code that is neither nnU-Net's nor trusted. torch is not needed for any of it.
"""

from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.model_description import MODEL_FILE, DescribedMember, ModelDescription
from nnunet_assets.core.model.model_digest import model_digest
from nnunet_assets.core.model.package_files import check_files, package_digest, read_steps
from nnunet_assets.core.model.package_layout import PLANS_FILE, WHOLE, checkpoint_paths, within
from nnunet_assets.core.model.postprocessing_steps import POSTPROCESSING_FILE, Step
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.errors import DatasetError, PackageError, first_offenders
from nnunet_assets.nnunet.packages.slim_checkpoint import check_slim_checkpoint
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.trainer.trainer_names import trainer_names
from nnunet_assets.processes.variables import TRUSTED_CODE_VARIABLE, with_trainers


@dataclass(frozen=True)
class ModelPackage:
    """A package that holds what its model.json says.

    Attributes:
        folder: Where it lies.
        description: What model.json says.
        digest: The SHA-256 of model.json, which holds that of every other file.
        usable: What predicts.
    """

    folder: Path
    description: ModelDescription
    digest: str
    usable: UsableModel


def open_package(path: Path, trusted: frozenset[str], checked: ModelDescription | None = None) -> ModelPackage:
    """Returns the package in a folder; every byte of it is read (0.6 s a gigabyte).

    Args:
        path: The folder.
        trusted: Code beside nnU-Net's own, trainers included, that the user names (`Settings.trusted_code`).
        checked: What `check_files` returned of it a moment ago, so that its files are not hashed again; None: they are.

    Raises:
        PackageError: It is no package, was changed, or holds what must not be trusted.
        ForeignCodeError: Its plans or dataset.json name code that is neither nnU-Net's own nor trusted.
    """
    return _opened(path, trusted, checked)


def open_own_package(path: Path, checked: ModelDescription | None = None) -> ModelPackage:
    """Returns a package that was just made here, of code that was run here, as `open_package` does.

    Raises:
        PackageError: As `open_package`.
    """
    return _opened(path, _Everything(), checked)


def described_labels(description: DatasetDescription) -> dict[str, int | list[int]]:
    """Returns the labels of a dataset.json as model.json has them: in numbers, where nnU-Net takes texts too."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in description.labels.items()}


class _Everything(Container[str]):
    """The names of whatever code a project trained with."""

    def __contains__(self, _: object) -> bool:
        return True


def _opened(folder: Path, trusted: Container[str], checked: ModelDescription | None) -> ModelPackage:
    if not folder.is_dir():
        raise PackageError(f"{folder} is not there, or no folder. A package is a folder with a {MODEL_FILE}.")
    description = checked or check_files(folder)
    for member in description.members:
        _check_member(folder, member, description, trusted)
    steps = _steps(folder / POSTPROCESSING_FILE, description)
    return ModelPackage(folder, description, package_digest(folder), _usable(folder, description, steps))


def _check_member(
    folder: Path, member: DescribedMember, description: ModelDescription, trusted: Container[str]
) -> None:
    plans, dataset_json = folder / within(member, PLANS_FILE), folder / within(member, DATASET_JSON)
    refuse_foreign_code_in(plans, dataset_json, trusted)
    if member.trainer not in trusted and member.trainer not in _known_trainers():
        raise PackageError(
            f"{folder} was trained by {member.trainer!r}, which is none of nnU-Net's trainers, nor of ours, and "
            f"predicting runs the trainer's code. If you have that trainer and trust it, add its name to "
            f"{TRUSTED_CODE_VARIABLE} in the environment or the project's .env."
        )
    if member.configuration not in Plans.read(plans).configurations:
        raise PackageError(f"{plans} has no configuration {member.configuration!r}. Have the package made anew.")
    try:
        found = parse_dataset_json(dataset_json)
    except DatasetError as error:
        raise PackageError(f"{folder} cannot be used: {error}") from error
    if described_labels(found) != description.labels or found.regions_class_order != description.regions_class_order:
        raise PackageError(f"{dataset_json} has other labels than {MODEL_FILE}. Have the package made anew.")
    for path in checkpoint_paths(member):
        check_slim_checkpoint(folder / path, member.trainer, member.configuration)


@cache
def _known_trainers() -> frozenset[str]:
    """Returns the names of nnU-Net's own trainers and of ours, not of those that the environment adds."""
    return trainer_names(with_trainers({})) or frozenset()


def _steps(file: Path, description: ModelDescription) -> tuple[Step, ...]:
    steps = read_steps(file)
    known = {
        value for values in description.labels.values() for value in (values if isinstance(values, list) else [values])
    }
    if unknown := sorted({label for step in steps for label in step} - known):
        raise PackageError(
            f"{file} cleans up labels that the model does not predict: {first_offenders(unknown)}. Have the package "
            "made anew."
        )
    return steps


def _usable(folder: Path, description: ModelDescription, steps: tuple[Step, ...]) -> UsableModel:
    by_path = {member.path: member for member in description.members}

    def member_of(described: DescribedMember) -> Member:
        return Member(
            experiment=Experiment(
                described.dataset, described.configuration, described.trainer, described.plans, described.variant
            ),
            folder=folder if described.path == WHOLE else folder / described.path,
            folds=described.folds,
            checkpoint=described.checkpoint,
            previous=member_of(by_path[described.previous]) if described.previous else None,
        )

    def digest_of(described: DescribedMember) -> str:
        made_of = {
            "checkpoints": [
                [fold, description.files[path]]
                for fold, path in zip(described.folds, checkpoint_paths(described), strict=True)
            ],
            "plans": description.files[within(described, PLANS_FILE)],
            "dataset_json": description.files[within(described, DATASET_JSON)],
            "nnunetv2": version("nnunetv2"),
            "previous": digest_of(by_path[described.previous]) if described.previous else None,
        }
        return json_sha256(made_of)

    averaged = [member for member in description.members if member.weight]
    digest = model_digest([digest_of(member) for member in averaged], steps)
    return UsableModel(description.title, tuple(map(member_of, averaged)), steps, digest)
