"""A dataset in another form is brought into nnUNet_raw, whole or not at all; its source is not changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.amounts import bytes_text, duration_text
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.importing.import_described import dataset_name, plan_described
from nnunet_assets.nnunet.importing.import_files import plan_files
from nnunet_assets.nnunet.importing.planned_import import Estimate, ImportedDataset, PlannedImport
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
        DatasetError: As `plan_files`, `plan_described` and `PlannedImport.carry_out`.
    """
    return _plan(settings, source, progress, name=name, dataset_id=dataset_id, link=link, compress=compress).carry_out(
        progress
    )


@dataclass(frozen=True)
class ImportDryRun:
    """What an import would do.

    Attributes:
        planned: What would be written.
        estimate: What that takes.
    """

    planned: PlannedImport
    estimate: Estimate

    def in_words(self) -> list[str]:
        """Returns it a line each."""
        result, estimate = self.planned.result, self.estimate
        return [
            f"{result.name}: {result.n_training} training and {result.n_test} test cases would be in {result.folder}",
            *(f"  {change}" for change in self.planned.outlook),
            f"Time: about {duration_text(estimate.seconds)} by what some of the files took to read and convert; a slow "
            "disk takes longer to write them",
            f"Disk: about {bytes_text(estimate.n_bytes)}; {bytes_text(estimate.free_bytes)} are free there",
            "This was a dry run: nothing was written.",
        ]


def import_dry_run(
    settings: Settings,
    source: Source,
    progress: Progress,
    *,
    name: str | None = None,
    dataset_id: int | None = None,
    link: Link = "copy",
    compress: bool = False,
) -> ImportDryRun:
    """Returns what `import_dataset` would do, without doing any of it.

    Args:
        settings: As for `import_dataset`.
        source: As for `import_dataset`.
        progress: Hears of each label image that is read.
        name: As for `import_dataset`.
        dataset_id: As for `import_dataset`.
        link: As for `import_dataset`.
        compress: As for `import_dataset`.

    Raises:
        NnunetAssetsError: It would be refused, as far as that shows without writing anything.
    """
    planned = _plan(settings, source, progress, name=name, dataset_id=dataset_id, link=link, compress=compress)
    planned.refuse_hopeless()
    return ImportDryRun(planned, planned.estimate())


def _plan(
    settings: Settings,
    source: Source,
    progress: Progress,
    *,
    name: str | None,
    dataset_id: int | None,
    link: Link,
    compress: bool,
) -> PlannedImport:
    raw_root = settings.roots.raw
    if source.is_named:
        called, labels = dataset_name(source.folder, name, dataset_id), source.label_values
        return plan_files(
            source.cases(), raw_root, called, labels=labels, link=link, compress=compress, progress=progress
        )
    return plan_described(source.folder, raw_root, dataset=name, dataset_id=dataset_id, link=link)
