"""An experiment of a project as a package that can be handed on: a folder, or a zip that nnU-Net installs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_assets.core.files.layout import FULL_FOLD, Experiment
from nnunet_assets.core.files.partial_folder import remove_abandoned, scratch_folder
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import ModelDescription
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.core.progress import Progress
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.package_writing import package_bytes, write_package
from nnunet_assets.nnunet.packages.package_zip import ZIP_SUFFIX, is_by_its_name, place_in_results, write_package_zip
from nnunet_assets.processes.machine.disk_space import lacking_room
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.about import about_experiment, with_inputs
from nnunet_assets.workflows.model.usable import usable_ensemble, usable_experiment


@dataclass(frozen=True)
class PackagedModel:
    """A package that was written now.

    Attributes:
        path: The folder, or the zip.
        n_bytes: Its size.
        digest: Of its model.json, which vouches for every other file.
        description: What that says.
        place: Where nnU-Net puts it below nnUNet_results, when it installs the zip; None: it is a folder.
        may_overwrite: Whether a model may be there, which nnU-Net would overwrite.
    """

    path: Path
    n_bytes: int
    digest: str
    description: ModelDescription
    place: str | None
    may_overwrite: bool


@dataclass(frozen=True)
class Packable:
    """What a person means to pack: a declared experiment, or a declared ensemble of several.

    Attributes:
        identity: What its summary is called.
        members: The experiments that predict.
        folds: Those of a complete cross-validation.
        licence: As declared; None: it is not.
        intended_use: Likewise.
    """

    identity: Experiment
    members: tuple[Experiment, ...]
    folds: tuple[str, ...]
    licence: str | None
    intended_use: str | None


def packable_named(project: Project, name: str) -> Packable:
    """Returns what is declared under a name.

    Args:
        project: What is declared.
        name: `DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset; or `DATASET/ensembles/NAME`.

    Raises:
        ConfigError: There is no experiment or ensemble of that name.
    """
    config = project.experiment_or_ensemble(name)
    members = project.members[config.identity] if config.identity.is_ensemble else [config.identity]
    folds = tuple(project.cross_validations()[config.identity])
    return Packable(config.identity, tuple(members), folds, config.licence, config.intended_use)


def package_named(
    settings: Settings,
    name: str,
    output: Path,
    *,
    full_model: bool = False,
    licence: str | None = None,
    intended_use: str | None = None,
    progress: Progress,
) -> PackagedModel:
    """Packs the finished folds of a declared experiment or ensemble, or its models of every case.

    Args:
        settings: Of the project.
        name: As for `packable_named`.
        output: Folder, or file that ends in `.zip`; must not be there yet.
        full_model: Take the model of every case.
        licence: Of the weights; None: as declared.
        intended_use: In words; None: as declared.
        progress: Told how large it will be and how far it is.

    Raises:
        NnunetAssetsError: Nothing of that name is declared, folds are not finished or not made from the same, the disk
            has no room, or something is there already; nothing is written then.
    """
    _refuse_existing(output)
    asked = packable_named(read_project(settings.project), name)
    model = _usable(settings, asked, [FULL_FOLD] if full_model else asked.folds)
    about = about_experiment(settings.roots, asked.identity, asked.folds, progress, is_full_model=full_model)
    said = replace(about, licence=licence or asked.licence, intended_use=intended_use or asked.intended_use)
    return package_model(model, said, output, progress)


def package_model(model: UsableModel, about: AboutModel, output: Path, progress: Progress) -> PackagedModel:
    """Packs a model.

    Args:
        model: Whose members lie in a project.
        about: What their files do not say; the digests of what they were made from are added.
        output: As for `package_named`.
        progress: Likewise.

    Raises:
        NnunetAssetsError: As `write_package`.
    """
    _refuse_existing(output)
    known = with_inputs(about, model.members)
    if output.suffix.lower() != ZIP_SUFFIX:
        package = write_package(model, known, output, progress)
        return _report(package, output, None)
    output.parent.mkdir(parents=True, exist_ok=True)
    # Folder and zip lie side by side for a moment.
    if lack := lacking_room(output.parent, 2 * package_bytes(model), "The package and its zip need"):
        raise PackageError(f"{lack} Make room there, or write it elsewhere.")
    remove_abandoned(output.parent)
    with scratch_folder(output) as scratch:
        package = write_package(model, known, scratch / "package", progress)
        write_package_zip(package, output, progress)
        return _report(package, output, place_in_results(package))


def _usable(settings: Settings, asked: Packable, folds: Sequence[str]) -> UsableModel:
    if asked.identity.is_ensemble:
        return usable_ensemble(settings, asked.identity, asked.members, folds)
    return usable_experiment(settings, asked.identity, folds)


def _report(package: ModelPackage, path: Path, place: str | None) -> PackagedModel:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    n_bytes = sum(file.stat().st_size for file in files)
    may_overwrite = place is not None and is_by_its_name(package)
    return PackagedModel(path, n_bytes, package.digest, package.description, place, may_overwrite)


def _refuse_existing(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise PackageError(f"{output} is there already. Name a folder or file that is not, or remove it first.")
