"""What a user means by MODEL: an experiment of the project, a package, or a version in the registry.

DATASET/TRAINER__PLANS__CONFIGURATION    its finished folds, a variant after the dataset; or some, or its full model
DATASET/ensembles/NAME                   the same of each member of a declared ensemble
a folder, or a .zip                      a package; a folder of the project's results is its experiment
models:/NAME@champion, /2, /latest       a registered version: its files are downloaded, and nothing of it is run
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import Experiment, fold_index, fold_key
from nnunet_assets.core.fold.commit import RESULT_FILES
from nnunet_assets.core.model.model_address import is_address
from nnunet_assets.core.model.model_description import MODEL_FILE, ExpectedImages
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.declarations.project import Project, declared_if_any
from nnunet_assets.errors import ConfigError, PackageError, PredictionError, did_you_mean, first_offenders
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import known_orientations
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.usable import usable_ensemble, usable_experiment

if TYPE_CHECKING:
    from nnunet_assets.nnunet.packages.package_reading import ModelPackage

PACKAGES_FOLDER = "packages"
"""In the project's data folder: packages that were downloaded or unpacked, by digest."""


@dataclass(frozen=True)
class NamedModel:
    """A model that was found, and what it knows of images.

    Attributes:
        usable: What predicts.
        description: dataset.json of the first member, after which masks and images are named.
        expected: The images that it was trained on.
    """

    usable: UsableModel
    description: DatasetDescription
    expected: ExpectedImages


def model_named(
    settings: Settings,
    name: str,
    *,
    folds: Sequence[str] = (),
    checkpoint: str | None = None,
    progress: Progress = LOGGED,
) -> NamedModel:
    """Returns the model of a name; every byte of its weights is read.

    Args:
        settings: Of the project.
        name: See above.
        folds: Of an experiment, as nnU-Net calls them: `0`, `1`, ..., or `all` alone; empty: every declared fold. A
            package has the folds that it has.
        checkpoint: File name in each fold, of an experiment; None: the one by which the folds were validated.
        progress: Told of a download.

    Raises:
        NnunetAssetsError: There is none of that name, its folds are not finished, or it must not be used.
    """
    if is_address(name):
        return _of_registry(settings, name, folds, checkpoint, progress)
    path = Path(name)
    declared = declared_if_any(settings.project)
    if path.exists():
        experiment = _experiment_at(settings, declared, path)
        if experiment is None:
            return _of_package(settings, path, folds, checkpoint)
    else:
        experiment = _experiment_named(declared, name)
    return _of_experiment(settings, declared, experiment, folds, checkpoint)


def _experiment_named(declared: Project, name: str) -> Experiment:
    try:
        return declared.experiment_or_ensemble(name.replace(" ", "")).identity
    except ConfigError:
        named = ["/".join(one.key_prefix) for one in declared.cross_validations()]
        raise PredictionError(
            f"{name!r} is no model: no file or folder of that name is there, nor an experiment or ensemble of the "
            f"project {declared.root}.{did_you_mean(name, named)} There are: {first_offenders(named) or 'none'}. A "
            "version in the registry is named models:/NAME@champion, /2 or /latest."
        ) from None


def _experiment_at(settings: Settings, declared: Project, path: Path) -> Experiment | None:
    """Returns the experiment whose folder this is; None: it is of none, and may be a package."""
    folder = path.resolve()
    known = (one.identity for one in declared.experiments)
    return next((one for one in known if one.model_folder(settings.roots).resolve() == folder), None)


def _of_experiment(
    settings: Settings, declared: Project, experiment: Experiment, folds: Sequence[str], checkpoint: str | None
) -> NamedModel:
    wanted = [_fold_named(fold) for fold in folds] or declared.cross_validations()[experiment]
    if experiment.is_ensemble:
        usable = usable_ensemble(settings, experiment, declared.members[experiment], wanted)
    else:
        usable = usable_experiment(settings, experiment, wanted)
    if checkpoint and any(member.checkpoint != checkpoint for member in usable.members):
        usable = _with_checkpoint(usable, checkpoint, experiment)
    return _found(usable, None, known_orientations(PreparedFolder(settings.roots, experiment.dataset)))


def _fold_named(fold: str) -> str:
    """Returns the key of a fold that nnU-Net calls 0, 1, ... or `all`, or of one that is named by its key."""
    try:
        key = fold if fold.startswith("fold_") else fold_key("all" if fold == "all" else int(fold))
        return fold_key(fold_index(key))
    except (ValueError, ConfigError):
        raise ConfigError(f"-f {fold!r} is no fold. Folds are 0, 1, ... or all.") from None


def _with_checkpoint(usable: UsableModel, checkpoint: str, experiment: Experiment) -> UsableModel:
    """Returns the model with another checkpoint of its folds; the stage before of a cascade keeps its own."""
    if Path(checkpoint).name != checkpoint:
        raise ConfigError(f"-chk {checkpoint!r} is no file name. Name a file that lies in each fold, without folders.")
    members = tuple(replace(member, checkpoint=checkpoint) for member in usable.members)
    files = [file for member in members for file in member.checkpoints]
    if missing := [file.parent.name for file in files if not file.is_file()]:
        there = sorted(path.name for path in files[0].parent.glob("checkpoint_*.pth"))
        raise PredictionError(
            f"{experiment.title} has no {checkpoint} in {first_offenders(missing)}; {files[0].parent.name} has "
            f"{first_offenders(there) or 'no checkpoint'}. Name one that every fold has."
        )
    if checkpoint not in RESULT_FILES:
        _refuse_code(files)
    digest = json_sha256([usable.digest, checkpoint, [file_sha256(file) for file in files]])
    return replace(usable, title=f"{usable.title}, {checkpoint}", members=members, digest=digest)


def _refuse_code(files: Sequence[Path]) -> None:
    """Refuses checkpoints with more than weights.

    No COMMIT vouches for these, and of a fold that was adopted nobody looked into them, while nnU-Net's predictor runs
    whatever they carry.
    """
    from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code

    for file in files:
        try:
            load_without_code(file)
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise PredictionError(
                f"{file} cannot be read as the weights of a network: {str(error).splitlines()[0]}. Nothing in it was "
                "run. Name a checkpoint that nnU-Net wrote."
            ) from error


def _of_registry(
    settings: Settings, address: str, folds: Sequence[str], checkpoint: str | None, progress: Progress
) -> NamedModel:
    from nnunet_assets.nnunet.packages.package_reading import open_package
    from nnunet_assets.tracking.registry.download import download_version
    from nnunet_assets.tracking.store.destination import Destination

    _refuse_choice(address, folds, checkpoint)
    downloaded = download_version(
        Destination.of(settings),
        address,
        settings.data / PACKAGES_FOLDER,
        lambda version: progress.say(f"{version.address} is downloaded."),
    )
    return _found_package(open_package(downloaded.folder, settings.trusted_code, downloaded.description))


def _refuse_choice(name: object, folds: Sequence[str], checkpoint: str | None) -> None:
    if folds or checkpoint:
        raise ConfigError(
            f"{name} is a package, which predicts with the folds and the checkpoints that it was made of. Leave -f and "
            "-chk out."
        )


def _of_package(settings: Settings, path: Path, folds: Sequence[str], checkpoint: str | None) -> NamedModel:
    from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip

    _refuse_choice(path, folds, checkpoint)
    if not (path / MODEL_FILE).is_file() and (path / DATASET_JSON).is_file() and any(path.glob("fold_*")):
        raise PredictionError(
            f"{path} is nnU-Net's folder of a model, and no experiment of the project {settings.project}: nobody knows "
            "which of its folds are finished, and its checkpoints may run code. Declare it and run `nnunet-assets "
            "adopt`, or name a package."
        )
    return _found_package(open_package_or_zip(path, settings.trusted_code, settings.data / PACKAGES_FOLDER))


def _found_package(package: "ModelPackage") -> NamedModel:
    return _found(package.usable, package.description.images)


def _found(usable: UsableModel, expected: ExpectedImages | None, orientations: tuple[str, ...] = ()) -> NamedModel:
    from nnunet_assets.nnunet.packages.expected_images import expected_images

    first, *others = usable.members
    description = parse_dataset_json(first.folder / DATASET_JSON)
    _refuse_unlike(first, others, description)
    if expected is None:
        configuration = first.experiment.configuration
        expected = expected_images(first.folder, configuration, description.n_training, orientations)
    return NamedModel(usable, description, expected)


def _refuse_unlike(first: Member, others: Sequence[Member], description: DatasetDescription) -> None:
    """Refuses members that do not read and predict the same: their probabilities could not be added."""
    for member in others:
        other = parse_dataset_json(member.folder / DATASET_JSON)
        same = ("channel_names", "labels", "file_ending", "regions_class_order")
        if odd := [name for name in same if getattr(other, name) != getattr(description, name)]:
            raise PackageError(
                f"{member.experiment.title} has other {first_offenders(odd)} than {first.experiment.title}, so "
                "that their probabilities are not of the same. Take one of them out of the ensemble."
            )
