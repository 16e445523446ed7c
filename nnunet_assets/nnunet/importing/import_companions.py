"""What comes along with images and labels that are imported: the files beside them from which nnU-Net takes numbers.

A 3D TIFF has its spacing in a file of its own; in the source that is `NAME.json` beside `NAME.tif`, or beside
`NAME_0000.tif`. Voxels in a file of their own are refused: the header names it, and would name it in vain.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.images.companion_files import image_companions, tiff_spacing
from nnunet_assets.nnunet.images.image_reader import TIFF_READER, dataset_reader
from nnunet_assets.nnunet.importing.source_cases import SourceCase, SourceCases
from nnunet_assets.nnunet.importing.transfer import Transfer


def spacing_transfers(cases: SourceCases, ending: str) -> tuple[list[Transfer], list[str]]:
    """Returns the files with the spacing of 3D TIFFs and where they go, and sentences about those that have none.

    Raises:
        DatasetError: A file that should hold a spacing holds none, or the channels of a case have different ones.
    """
    first = next(iter((*cases.training.values(), *cases.test.values())), None)
    if first is None or dataset_reader({"file_ending": ending}, first.images[0]) != TIFF_READER:
        return [], []
    transfers, unknown = [], []
    originals = {new: old for old, new in cases.renamed.items()}
    for subset, folder in ((cases.training, "Tr"), (cases.test, "Ts")):
        for case, files in subset.items():
            found = list(_transfers(files, case, originals.get(case, case), folder, ending))
            transfers += found
            unknown += [] if found else [case]
    if not unknown:
        return transfers, []
    sentence = (
        f"No spacing is known of {len(unknown)} of {len(cases.training) + len(cases.test)} cases "
        f"({first_offenders(unknown)}): no NAME.json with it lies beside their 3D TIFFs. nnU-Net takes 1 × 1 × 1 mm. "
        'If that is not so, write {"spacing": [Z, Y, X]} in mm into CASE.json beside each image (without the '
        "channel's number) and each label."
    )
    return transfers, [sentence]


def refuse_detached(files: Iterator[Path], ending: str) -> None:
    """Passes where every file holds its own voxels.

    Raises:
        DatasetError: A header names other files for them.
    """
    if ending not in (".mha", ".nrrd"):
        return
    detached = [str(file) for file in files if image_companions(file, None)]
    if detached:
        raise DatasetError(
            f"{len(detached)} files are headers whose voxels are in other files: {first_offenders(detached)}. Write "
            "both into one file first (SimpleITK: WriteImage(ReadImage(old), new))."
        )


def _transfers(files: SourceCase, case: str, original: str, folder: str, ending: str) -> Iterator[Transfer]:
    of_images = [sidecar for image in files.images if (sidecar := _sidecar(image, ending, original))]
    of_label = _sidecar(files.label, ending, original) if files.label else None
    spacings = {tiff_spacing(sidecar, case) for sidecar in of_images}
    if len(spacings) > 1:
        raise DatasetError(
            f"The channels of case {case!r} have different spacings: {first_offenders(list(map(str, of_images)))}. "
            "Correct the one that is wrong."
        )
    image = next(iter(of_images), of_label)
    # All files of a case lie on one grid: where one says its spacing, it is the other's.
    label = of_label or image
    if image:
        yield Transfer(image, (f"images{folder}/{case}.json",))
    if files.label and label:
        tiff_spacing(label, case)
        yield Transfer(label, (f"labels{folder}/{case}.json",))


def _sidecar(file: Path, ending: str, case: str) -> Path | None:
    """Returns the file with the spacing of a TIFF; None: there is none, or what is called so holds something else."""
    stem = file.name[: -len(ending)]
    names: Sequence[str] = (stem, re.sub(r"_\d{4}$", "", stem), case)
    return next((path for name in names if _holds_spacing(path := file.parent / f"{name}.json")), None)


def _holds_spacing(path: Path) -> bool:
    try:
        content = load_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "spacing" in content
