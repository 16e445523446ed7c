"""Which of nnU-Net's readers opens the files of a dataset or of a model: found as nnU-Net finds it.

Plans name it. For a dataset `overwrite_image_reader_writer` of dataset.json does, or else it is the first for the file
ending that opens the first image. What it says of spacing, origin and direction is for `reader_placement`.
"""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from inspect import isabstract
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription
from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.image_limits import refuse_oversized_raster
from nnunet_assets.nnunet.images.reader_placement import ITK_READERS, NIBABEL_READERS, itk_placement, nifti_placement
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code
from nnunet_assets.settings import trusted_code

PHOTO_READER, TIFF_READER = "NaturalImage2DIO", "Tiff3DIO"

BY_ENDING: Mapping[str, tuple[str, ...]] = {
    ".nii.gz": (ITK_READERS[0], *NIBABEL_READERS),
    ".nii": NIBABEL_READERS,
    **dict.fromkeys((".nrrd", ".mha", ".gipl"), ITK_READERS[:1]),
    **dict.fromkeys((".png", ".bmp"), (PHOTO_READER,)),
    ".tif": (PHOTO_READER, TIFF_READER),
    ".tiff": (TIFF_READER,),
}
"""nnU-Net's own list, in its order; said again because importing it takes as long as reading a hundred headers."""

KNOWN_READERS = frozenset({*ITK_READERS, *NIBABEL_READERS, PHOTO_READER, TIFF_READER})


def dataset_reader(
    description: Mapping[str, Any], example: Path | None, trusted: frozenset[str] = frozenset()
) -> str | None:
    """Returns the name of the reader of a dataset's files; None: none of nnU-Net's opens the example.

    Args:
        description: The content of dataset.json.
        example: The first image, by which nnU-Net chooses among the readers for an ending; None: there is none, and
            the first reader for the ending is taken.
        trusted: As for `is_reader`.

    Raises:
        ForeignCodeError: As `is_reader`.
    """
    wanted = str(description.get("overwrite_image_reader_writer", "None"))
    if wanted != "None" and is_reader(wanted, DATASET_JSON, trusted):
        return wanted
    readers = BY_ENDING.get(str(description.get("file_ending")).lower(), ())
    if example is None:
        return next(iter(readers), None)
    return next((reader for reader in readers if opens(reader, example)), None)


def reader_of_cases(
    description: DatasetDescription, cases: Sequence[CaseFiles], trusted: frozenset[str] = frozenset()
) -> str | None:
    """Returns the reader of a dataset, where nnU-Net looks at the first image of the first case."""
    listed = description.raw.get("dataset")
    first = next(iter(listed), None) if isinstance(listed, dict) else None
    found = next((files for files in cases if files.case == first), None) or next(iter(cases), None)
    return dataset_reader(description.raw, next(iter(found.images), None) if found else None, trusted)


def reader_of_model(folder: Path, trusted: frozenset[str] = frozenset()) -> str | None:
    """Returns the reader that the plans.json in a folder names; None: there is none, or it names none.

    Raises:
        ForeignCodeError: As `is_reader`.
    """
    file = folder / "plans.json"
    name = readable_json(file).get("image_reader_writer")
    return name if isinstance(name, str) and is_reader(name, file, trusted) else None


def is_reader(name: str, source: Path | str, trusted: frozenset[str] = frozenset()) -> bool:
    """Tells whether nnU-Net has a reader of this name, which `source` names.

    Args:
        name: The name.
        source: For the message.
        trusted: What the user names (`settings.trusted_code`) beside what this process's own environment does.

    Raises:
        ForeignCodeError: It is neither nnU-Net's own nor trusted by the user.
        DatasetError: It is what readers are made from, and no reader.
    """
    if name in KNOWN_READERS:
        return True
    of_dataset = {"overwrite_image_reader_writer": name} if source == DATASET_JSON else None
    of_plans = None if of_dataset else {"image_reader_writer": name}
    refuse_foreign_code(source, trusted | trusted_code(), plans=of_plans, dataset_json=of_dataset)
    found = _class(name)
    if found is not None and (not isinstance(found, type) or isabstract(found)):
        raise DatasetError(
            f"D079 {source} names {name}, which is in nnU-Net's folder of readers, but is none. Name one of "
            f"{', '.join(sorted(KNOWN_READERS))}."
        )
    return found is not None


def writes(reader: str, example: Path, ending: str) -> bool:
    """Tells whether a reader, which writes predictions too, writes one of an image's place under this ending."""
    opened = reader_class(reader)()
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        file = Path(folder) / f"case{ending}"
        try:
            voxels, properties = opened.read_images((str(example),))
            opened.write_seg(np.zeros(voxels.shape[1:], np.uint8), str(file), properties)
        except Exception:  # noqa: BLE001 (its libraries raise anything on a name that they do not know)
            return False
        return file.is_file()


def _nifti_ending(path: Path) -> str:
    return next((ending for ending in nifti.ENDINGS if path.name.lower().endswith(ending)), "")


def reader_class(name: str) -> Any:
    """Returns nnU-Net's class of a reader that it has."""
    found = _class(name)
    if found is None:
        raise DatasetError(f"nnU-Net has no reader {name!r}. Correct overwrite_image_reader_writer in dataset.json.")
    return found


def reads_nifti_here(reader: str | None, ending: str) -> bool:
    """Tells whether files are NIfTI that is read by this package, in that reader's way."""
    return ending.lower() in nifti.ENDINGS and reader in (*ITK_READERS, *NIBABEL_READERS)


def _class(name: str) -> Any:
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    try:
        return recursive_find_reader_writer_by_name(name)
    except RuntimeError:
        return None


def opens(reader: str, example: Path) -> bool:
    """Tells whether a reader opens a file; by its header where it has one, a damaged file being named elsewhere."""
    if reads_nifti_here(reader, _nifti_ending(example)):
        try:
            nifti_placement(example, example.name, nifti.read_header(example), reader)
        except nifti.VolumeError as error:
            # A unit that is ignored is no reason for nnU-Net, and a damaged file none for another reader. Of four axes
            # SimpleITK's takes the last for channels.
            return error.code != "D045" and not (error.code == "D046" and reader in NIBABEL_READERS)
        return True
    try:
        if reader in ITK_READERS:
            itk_placement(example, example.name, reader)
        else:
            refuse_oversized_raster(example, example.name)
            with redirect_stdout(StringIO()):  # nnU-Net says where a TIFF has no sidecar
                reader_class(reader)().read_images((str(example),))
    except nifti.VolumeError:  # several numbers a voxel, of which nnU-Net makes channels; or too many
        return True
    except Exception:  # noqa: BLE001 (as nnU-Net, which goes on to the next reader whatever was raised)
        return False
    return True
