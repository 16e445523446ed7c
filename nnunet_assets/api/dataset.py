"""Raw data, brought in and looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.api.given import path_of, settings_of
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.nnunet.importing.planned_import import ImportedDataset
    from nnunet_assets.workflows.dataset.prepare import LookedAt


def import_dataset(
    source: Path | str,
    *,
    name: str | None = None,
    dataset_id: int | None = None,
    images: str | None = None,
    labels: str | None = None,
    test_images: str | None = None,
    table: Path | str | None = None,
    channels: Sequence[str] = (),
    label_values: Mapping[str, int | list[int]] | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "ImportedDataset":
    """Brings a dataset into nnUNet_raw, as `nnunet-assets import-dataset` does; the source is not changed.

    Args:
        source: An unpacked folder of the Medical Segmentation Decathlon, an nnU-Net v1 task, or any other.
        name: `DatasetXXX_Name`; None: from the source's name.
        dataset_id: Replaces the number in the source's name.
        images: How the images are named below any other folder, such as `images/{case}_{channel}.nii.gz`.
        labels: How their label images are named.
        test_images: How images without labels are named; None: there are none.
        table: In place of patterns, a CSV or TSV of the files.
        channels: Names of the channels, in order.
        label_values: Label name to its value, or values; None: by what is in the label images.
        project: Whose nnUNet_raw.
        progress: Hears of each file.

    Raises:
        NnunetAssetsError: The dataset is there already, or the source cannot be brought.
    """
    from nnunet_assets.workflows.dataset.import_dataset import Source
    from nnunet_assets.workflows.dataset.import_dataset import import_dataset as bring

    described = Source(
        Path(source),
        images=images,
        labels=labels,
        test_images=test_images,
        table=path_of(table),
        channels=tuple(channels),
        label_values={"labels": dict(label_values)} if label_values else None,
    )
    return bring(settings_of(project), described, progress, name=name, dataset_id=dataset_id)


def check(
    dataset: str, *, rehash: bool = False, project: Path | str | None = None, progress: Progress = LOGGED
) -> "LookedAt":
    """Reads every case of a raw dataset and returns what is wrong with it, as `nnunet-assets check` does.

    Args:
        dataset: `DatasetXXX_Name`, declared or not.
        rehash: Read every file anew, also those whose size and times are as they were.
        project: Whose nnUNet_raw, and where the dataset may be declared.
        progress: Hears of each case.

    Raises:
        DatasetError: There is no such dataset, or nothing of it can be looked at.
    """
    from nnunet_assets.workflows.dataset.check import check as look

    return look(settings_of(project), dataset, progress, rehash=rehash)
