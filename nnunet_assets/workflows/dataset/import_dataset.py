"""A dataset in another form is brought into nnUNet_raw, whole or not at all; its source is not changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.importing.import_described import ImportedDataset, dataset_name, import_described
from nnunet_assets.nnunet.importing.import_files import import_files
from nnunet_assets.nnunet.importing.source_cases import SourceCases, cases_by_list, cases_by_pattern
from nnunet_assets.nnunet.importing.transfer import Link
from nnunet_assets.settings import Settings


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from, and what its files do not say.

    Attributes:
        folder: An unpacked folder of the Medical Segmentation Decathlon, an nnU-Net v1 task, or any other.
        images: How the images are named below it; None: as one of the first two.
        labels: How their label images are named.
        test_images: How images without labels are named; None: there are none.
        table: In place of patterns, a CSV or TSV of the files.
        channels: Names of the channels, in order.
        label_values: `labels` as dataset.json has them; None: by the values in the label images.
    """

    folder: Path
    images: str | None = None
    labels: str | None = None
    test_images: str | None = None
    table: Path | None = None
    channels: tuple[str, ...] = ()
    label_values: Mapping[str, Any] | None = None

    @property
    def is_named(self) -> bool:
        """Whether the files are named here; else the folder's own dataset.json says which there are."""
        return bool(self.images or self.table)

    def cases(self) -> SourceCases:
        """Returns the files of each case that are named.

        Raises:
            ConfigError: The patterns and the table contradict each other, or one is missing.
            DatasetError: As `cases_by_list` and `cases_by_pattern`.
        """
        if self.table:
            if self.images or self.labels or self.test_images:
                raise ConfigError("--list names every file; take --images, --labels and --test-images away, or --list.")
            return cases_by_list(self.folder, self.table, channels=self.channels)
        if not (self.images and self.labels):
            raise ConfigError(
                "--images needs --labels, the pattern of the label images, such as 'labelsTr/{case}.nii.gz'."
            )
        return cases_by_pattern(
            self.folder, self.images, self.labels, test_images=self.test_images, channels=self.channels
        )


def import_dataset(
    settings: Settings,
    source: Source,
    progress: Progress,
    *,
    name: str | None = None,
    dataset_id: int | None = None,
    link: Link = "copy",
    compress: bool = False,
) -> ImportedDataset:
    """Writes the source into nnUNet_raw as a new dataset.

    Args:
        settings: Where nnUNet_raw is.
        source: What to bring.
        progress: Hears of each file.
        name: `DatasetXXX_Name`; None: from the source's name.
        dataset_id: Replaces the number in the source's name; None: the name's own.
        link: How files that need no conversion get there.
        compress: Whether `.nii` becomes `.nii.gz`; only of a source whose files are named.

    Raises:
        ConfigError: As `dataset_name` and `Source.cases`.
        DatasetError: As `import_files` and nnunet's `import_dataset`.
    """
    raw_root = settings.roots.raw
    if source.is_named:
        called, labels = dataset_name(source.folder, name, dataset_id), source.label_values
        return import_files(
            source.cases(), raw_root, called, labels=labels, link=link, compress=compress, progress=progress
        )
    return import_described(source.folder, raw_root, dataset=name, dataset_id=dataset_id, link=link, progress=progress)
