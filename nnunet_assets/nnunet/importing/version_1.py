"""A dataset in the form before nnU-Net v2: what it holds and, where it cannot be converted, why.

Two kinds have such a dataset.json, with `modality` and labels by value. In a Medical Segmentation Decathlon folder a
case is one file, named as its label, with its channels as fourth axis; in an nnU-Net v1 task every channel is a file,
`CASE_0000.nii.gz`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, check_description, convert_version_1, read_json_object
from nnunet_assets.core.dataset.findings import refuse_errors
from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.errors import DatasetError, first_offenders

ENDING = ".nii.gz"

_DROPPED = ("modality", "labels", "training", "test", "numTraining", "numTest", "tensorImageSize")
"""Keys of the old dataset.json that nnU-Net v2 has in another form, or not at all."""


@dataclass(frozen=True)
class OldDataset:
    """A folder of one of the two kinds, complete and convertible as far as names and dataset.json show it.

    Attributes:
        folder: Where it lies.
        content: The old dataset.json.
        converted: The new one.
        is_decathlon: Whether a case is one file.
        training: Image files by case.
        test: Likewise, from `imagesTs`.
        labels: Label files, from `labelsTr` and `labelsTs`.
    """

    folder: Path
    content: Mapping[str, Any]
    converted: dict[str, Any]
    is_decathlon: bool
    training: Mapping[str, tuple[Path, ...]]
    test: Mapping[str, tuple[Path, ...]]
    labels: tuple[Path, ...]

    @property
    def n_channels(self) -> int:
        """Number of channels of a case."""
        return len(self.converted["channel_names"])


def read_old_dataset(folder: Path) -> OldDataset:
    """Returns what a folder holds.

    Raises:
        DatasetError: It is not of the two kinds, is incomplete, or its dataset.json breaks nnU-Net's rules.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"There is no folder {folder}. Give the unpacked dataset's folder, such as Task04_Hippocampus."
        )
    if not (folder / DATASET_JSON).exists():
        raise DatasetError(
            f"D001 There is no {DATASET_JSON} in {folder}, which holds "
            f"{first_offenders(sorted(path.name for path in folder.iterdir())) or 'nothing'}. For images and "
            "labels without one, say how they are named, with --images and --labels, or list them in a table, with "
            "--list."
        )
    content = _read_json(folder / DATASET_JSON)
    labels, images = _niftis(folder / "labelsTr"), _niftis(folder / "imagesTr")
    # An image named as a label is a Decathlon's, even where that name ends as a channel's does.
    is_decathlon = bool({path.name for path in images} & {path.name for path in labels})
    training = _by_case(images, is_decathlon)
    _refuse_incomplete(folder, set(training), {_stem(path) for path in labels}, content.get("training"))
    converted = {
        **convert_version_1(content),
        "numTraining": len(training),
        **{key: value for key, value in content.items() if key not in _DROPPED},
        "file_ending": ENDING,
    }
    refuse_errors(f"{folder / DATASET_JSON}, converted to nnU-Net v2's form,", check_description(converted))
    return OldDataset(
        folder=folder,
        content=content,
        converted=converted,
        is_decathlon=is_decathlon,
        training=training,
        test=_by_case(_niftis(folder / "imagesTs"), is_decathlon),
        labels=(*labels, *_niftis(folder / "labelsTs")),
    )


def _read_json(path: Path) -> dict[str, Any]:
    content = read_json_object(path)
    if "channel_names" in content:
        raise DatasetError(
            f"{path} is in nnU-Net v2's form already. Copy or link its folder into nnUNet_raw; there is nothing to "
            "convert."
        )
    if "modality" not in content:
        raise DatasetError(
            f"{path} has neither 'modality', as the Medical Segmentation Decathlon and nnU-Net v1 write it, nor "
            "'channel_names'; what the channels are must be known to convert it."
        )
    return content


def _niftis(folder: Path) -> list[Path]:
    """Returns the images of a folder, sorted, without what other systems leave. No folder: no images."""
    return sorted(path for path in folder.glob(f"*{ENDING}") if not is_dropping(path.name))


def _stem(path: Path) -> str:
    return path.name.removesuffix(ENDING)


def _by_case(files: list[Path], is_decathlon: bool) -> dict[str, tuple[Path, ...]]:
    cases: dict[str, tuple[Path, ...]] = {}
    for file in files:
        case = _stem(file) if is_decathlon else re.sub(r"_\d{4}$", "", _stem(file))
        cases[case] = (*cases.get(case, ()), file)
    return cases


def _refuse_incomplete(folder: Path, images: set[str], labels: set[str], listed: Any) -> None:
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("label") if isinstance(entry, dict) else entry for entry in entries]
    expected = {_stem(Path(str(name))) for name in names}
    problems = []
    for subfolder, there, others in (("labelsTr", labels, images), ("imagesTr", images, labels)):
        if lacking := sorted((others | expected) - there):
            cases = "1 case" if len(lacking) == 1 else f"{len(lacking)} cases"
            problems.append(f"{subfolder} has no file for {cases}: {first_offenders(lacking)}.")
    if not images | labels | expected:
        problems = [f"imagesTr and labelsTr hold no file that ends in {ENDING}."]
    if problems:
        raise DatasetError(
            f"The training cases in {folder} are incomplete. {' '.join(problems)} Complete the download, or take these "
            "cases out of the folders and of dataset.json."
        )
