"""Where an imported dataset comes from: patterns, a table, or the folder's own dataset.json."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.importing.planned_import import Estimate
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset.import_dataset import Source, import_dataset, import_dry_run
from nnunet_assets_tests.raw_builders import write_decathlon, write_tiny_dataset
from nnunet_assets_tests.recorded_progress import RecordedProgress

IMAGES, LABELS = "imagesTr/{case}_{channel}.nii.gz", "labelsTr/{case}.nii.gz"


def test_a_decathlon_folder_says_itself_what_it_holds(tmp_path: Path) -> None:
    progress = RecordedProgress()
    source = Source(write_decathlon(tmp_path / "Task04_Tiny"))
    imported = import_dataset(Settings.from_environment(tmp_path, {}), source, progress, dataset_id=7)
    assert (imported.name, imported.n_training, imported.n_test) == ("Dataset007_Tiny", 3, 1)
    assert progress.steps[-1] == ("files imported", 7, 7)


def test_files_by_patterns_become_a_dataset_with_the_labels_that_are_said(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, "Task07_Own")
    labels = {"labels": {"background": 0, "organ": 1, "lesion": 2}}
    source = Source(folder, images=IMAGES, labels=LABELS, channels=("CT",), label_values=labels)
    imported = import_dataset(Settings.from_environment(tmp_path, {}), source, SILENT, name="Dataset009_Named")
    assert (imported.folder.name, imported.n_training) == ("Dataset009_Named", 6)
    assert '"lesion": 2' in (imported.folder / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (Source(Path("Task07_Own"), images=IMAGES), "--images needs --labels"),
        (Source(Path("Task07_Own"), labels=LABELS, table=Path("cases.csv")), "--list names every file; take --images"),
        (Source(Path("Task07_Own"), images=IMAGES, table=Path("cases.csv")), "--list names every file; take --images"),
        (Source(Path("Task07_Own"), test_images=IMAGES, table=Path("cases.csv")), "--list names every file; take"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, source: Source, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        import_dataset(Settings.from_environment(tmp_path, {}), source, SILENT)


def test_labels_alone_name_no_cases() -> None:
    source = Source(Path("Task07_Own"), labels=LABELS)
    assert not source.is_named
    with pytest.raises(ConfigError, match="--images needs --labels"):
        source.cases()


def test_a_dry_run_writes_nothing_and_says_what_would_be_there(tmp_path: Path) -> None:
    source = Source(write_decathlon(tmp_path / "Task04_Tiny"))
    settings = Settings.from_environment(tmp_path, {})
    planned = import_dry_run(settings, source, SILENT, dataset_id=7)
    assert not (settings.roots.raw / "Dataset007_Tiny").exists()
    first, *_, time, disk, last = planned.in_words()
    assert first.startswith("Dataset007_Tiny: 3 training and 1 test cases would be in ")
    assert (time[:12], disk[:12], last) == ("Time: about ", "Disk: about ", "This was a dry run: nothing was written.")
    known = replace(planned, estimate=Estimate(seconds=61, n_bytes=1536, free_bytes=2**30)).in_words()
    assert known[-3].startswith("Time: about 1 min 1 s by what some of the files")
    assert known[-2] == "Disk: about 1.5 KiB; 1.0 GiB are free there"
    imported = import_dataset(settings, source, SILENT, dataset_id=7)
    assert (imported.name, imported.n_training, imported.n_test) == ("Dataset007_Tiny", 3, 1)
