"""A package as one zip file, which `nnUNetv2_install_pretrained_model_from_zip` unpacks into nnUNet_results.

A single model lies in it where nnU-Net looks for it, `DATASET/TRAINER__PLANS__CONFIGURATION/`. nnU-Net overwrites what
is there when it installs a zip, and no member of several, and no variant, whose name the default has in nnU-Net, must
take the place of a model that somebody has: they have one place of their own below the dataset. Of several that is
`DATASET/nnunet_assets/KIND-DIGEST/members/...`; that of a variant is a folder that `nnUNet_results` may name,
`DATASET/nnunet_assets/VARIANT-DIGEST/DATASET/TRAINER__PLANS__CONFIGURATION/`.

There is no postprocessing.pkl in it, which `nnUNetv2_apply_postprocessing` needs: whoever reads a pickle runs what is
in it. The page on packages has the line that makes one of postprocessing.json.
"""

import shutil
import stat
import zipfile
from pathlib import Path

from nnunet_assets.core.files.atomic_files import written_whole
from nnunet_assets.core.files.layout import SUMMARY_FOLDER
from nnunet_assets.core.model.model_description import MODEL_FILE
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.processes.machine.disk_space import lacking_room

ZIP_SUFFIX = ".zip"

ZIPPED = "files zipped"

_WHEN = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the same package makes the same zip, which says nothing of when and where."""

_FILE_OF_UNIX, _MODE = 3, (stat.S_IFREG | 0o644) << 16


def place_in_results(package: ModelPackage) -> str:
    """Returns the folder of a package below nnUNet_results, where its zip has it."""
    description, digest = package.description, package.digest[:12]
    first = description.members[0]
    apart = f"{first.dataset}/{SUMMARY_FOLDER}"
    if description.kind != "single":
        return f"{apart}/{description.kind}-{digest}"
    own = f"{first.dataset}/{first.trainer}__{first.plans}__{first.configuration}"
    return own if first.variant is None else f"{apart}/{first.variant}-{digest}/{own}"


def is_by_its_name(package: ModelPackage) -> bool:
    """Tells whether nnU-Net finds an installed package by its names, and overwrites a model that has the same."""
    first = package.description.members[0]
    return package.description.kind == "single" and first.variant is None


def write_package_zip(package: ModelPackage, file: Path, progress: Progress = LOGGED) -> None:
    """Writes a package as a zip, whole or not at all; the same bytes each time.

    Args:
        package: As it was opened.
        file: Must not be there yet.
        progress: Told of each file.

    Raises:
        PackageError: There is something of that name, or the disk has no room.
    """
    if file.exists() or file.is_symlink():
        raise PackageError(f"{file} is there already. Name a file that is not, or remove it first.")
    names = [MODEL_FILE, *sorted(package.description.files)]
    file.parent.mkdir(parents=True, exist_ok=True)
    needed = sum((package.folder / name).stat().st_size for name in names)
    if lack := lacking_room(file.parent, needed, "The zip needs"):
        raise PackageError(f"{lack} Make room there, or write it elsewhere.")
    place = place_in_results(package)
    with written_whole(file) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for n_done, name in enumerate(names):
            progress.step(ZIPPED, n_done, len(names))
            entry = zipfile.ZipInfo(f"{place}/{name}", _WHEN)
            entry.create_system, entry.external_attr = _FILE_OF_UNIX, _MODE
            # Weights are noise to a compressor.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".pth") else zipfile.ZIP_DEFLATED
            with (package.folder / name).open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
        progress.step(ZIPPED, len(names), len(names))
