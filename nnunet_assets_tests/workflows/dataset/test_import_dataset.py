"""Where an imported dataset comes from: patterns, a table, or the folder's own dataset.json."""

from pathlib import Path

import pytest

from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset.import_dataset import Source, import_dataset
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
