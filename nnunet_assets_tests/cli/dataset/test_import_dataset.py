import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nnunet_assets.cli import terminal
from nnunet_assets.cli.dataset.import_dataset import import_dataset
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError, DatasetError
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.dataset.import_dataset import Source, import_dry_run
from nnunet_assets.workflows.dataset.import_dataset import import_dataset as importing
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import write_decathlon, write_tiny_dataset


@pytest.fixture(autouse=True)
def no_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nnU-Net's variables, the data lies in the project."""
    write_project(tmp_path, {})
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(import_dataset, [str(argument) for argument in arguments])


def test_a_decathlon_folder_arrives_in_the_project_and_the_changes_are_listed(tmp_path: Path) -> None:
    source = write_decathlon(tmp_path / "Task04_Tiny")
    result = run(source, "--project", tmp_path)
    folder = tmp_path / "data/nnUNet_raw/Dataset004_Tiny"
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"Dataset004_Tiny: 3 training and 1 test cases in {folder}",
        "  dataset.json is in nnU-Net v2's form: channels 0 MRI 0; labels 0 background, 1 organ, 2 lesion.",
        "  4 images were copied under names with nnU-Net's channel number, _0000.nii.gz.",
        "  3 files were copied under their own names.",
    ]
    assert result.stderr == ""
    assert (folder / "dataset.json").is_file()


def test_name_id_and_link_are_obeyed(tmp_path: Path) -> None:
    source = write_decathlon(tmp_path / "Task04_Tiny")
    assert run(source, "--project", tmp_path, "--id", 104, "--link", "symlink").exit_code == 0
    assert (tmp_path / "data/nnUNet_raw/Dataset104_Tiny/labelsTr/tiny_0.nii.gz").is_symlink()
    assert run(source, "--project", tmp_path, "--name", "Dataset007_Other").exit_code == 0
    assert (tmp_path / "data/nnUNet_raw/Dataset007_Other").is_dir()


class TestADryRun:
    def test_says_what_would_be_done_in_what_time_and_space_and_writes_nothing(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_channels=2)
        before = sorted(tmp_path.rglob("*"))
        result = run(source, "--project", tmp_path, "--dry-run")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        folder = tmp_path / "data/nnUNet_raw/Dataset004_Tiny"
        assert lines[:4] == [
            f"Dataset004_Tiny: 3 training and 1 test cases would be in {folder}",
            "  dataset.json is in nnU-Net v2's form: channels 0 MRI 0, 1 MRI 1; labels 0 background, 1 organ, "
            "2 lesion.",
            "  4 images with their channels on a fourth axis would be split into 2 files each.",
            "  3 files would be copied under their own names.",
        ]
        assert re.fullmatch(r"Time: about \d.* by what some of the files took .*", lines[4])
        assert re.fullmatch(r"Disk: about \d.*; \d.* are free there", lines[5])
        assert lines[6] == "This was a dry run: nothing was written."
        assert sorted(tmp_path.rglob("*")) == before
        assert run(source, "--project", tmp_path).exit_code == 0

    def test_the_size_is_that_of_the_import_to_the_byte_where_every_file_was_tried(self, tmp_path: Path) -> None:
        source = Source(write_decathlon(tmp_path / "Task04_Tiny", n_channels=2))
        settings = project_settings(tmp_path)
        would = import_dry_run(settings, source, SILENT)
        folder = importing(settings, source, SILENT).folder
        images = [path for path in folder.rglob("*") if path.name.endswith(".nii.gz")]
        assert would.estimate.n_bytes == sum(path.stat().st_size for path in images)
        assert import_dry_run(settings, source, SILENT, name="Dataset007_Linked").estimate.n_bytes > 0
        one_channel = Source(write_decathlon(tmp_path / "Task05_One"))
        assert import_dry_run(settings, one_channel, SILENT, link="symlink").estimate.n_bytes == 0

    @pytest.mark.parametrize("dry", [True, False])
    def test_refuses_what_the_import_refuses(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dry: bool
    ) -> None:
        source, flags = write_decathlon(tmp_path / "Task04_Tiny"), ["--dry-run"] if dry else []
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
        result = run(source, "--project", tmp_path, *flags)
        assert isinstance(result.exception, DatasetError)
        assert "Importing Dataset004_Tiny needs at least" in str(result.exception)
        assert not (tmp_path / "data/nnUNet_raw/Dataset004_Tiny").exists()
        (tmp_path / "data/nnUNet_raw/Dataset004_Tiny").mkdir(parents=True)
        result = run(source, "--project", tmp_path, *flags)
        assert "exists and is not written over" in str(result.exception)


def test_nnunets_own_raw_folder_is_used_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    assert run(write_decathlon(tmp_path / "Task04_Tiny")).exit_code == 0
    assert (tmp_path / "raw/Dataset004_Tiny").is_dir()


def test_the_projects_env_file_says_where_raw_data_is_as_for_dagster(tmp_path: Path) -> None:
    roots = [f"nnUNet_{name}={tmp_path / 'elsewhere' / name}" for name in ("raw", "preprocessed", "results")]
    (tmp_path / ".env").write_text("\n".join(roots))
    assert run(write_decathlon(tmp_path / "Task04_Tiny"), "--project", tmp_path).exit_code == 0
    assert (tmp_path / "elsewhere/raw/Dataset004_Tiny").is_dir()


def test_an_error_reaches_the_caller_as_itself(tmp_path: Path) -> None:
    result = run(tmp_path / "Task04_Gone", "--project", tmp_path)
    assert isinstance(result.exception, DatasetError)
    assert "There is no folder" in str(result.exception)


def test_an_unknown_way_to_link_is_wrong_usage(tmp_path: Path) -> None:
    result = run(tmp_path, "--link", "move")
    assert result.exit_code != 0
    assert "'move' is not one of 'copy', 'hardlink', 'symlink'" in result.stderr


def test_a_long_import_shows_its_progress_on_standard_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "QUIET_SECONDS", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    result = run(write_decathlon(tmp_path / "Task04_Tiny"), "--project", tmp_path)
    assert result.exit_code == 0
    assert "files imported" in result.stderr
    assert "files imported" not in result.stdout


class TestFilesByTheirNames:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Any:
        """Two channels, in a slice-wise trainer's folders."""
        folder = write_tiny_dataset(tmp_path, "Task07_Own", n_channels=2)
        (folder / "imagesTr").rename(folder / "imagesTr_resampled")
        (folder / "dataset.json").unlink()
        return folder

    patterns = ("--images", "imagesTr_resampled/{case}_{channel}.nii.gz", "--labels", "labelsTr/{case}.nii.gz")
    channels = ("--channel", "T1", "--channel", "T2")

    def test_patterns_channels_and_labels_make_a_dataset(self, source: Any, tmp_path: Path) -> None:
        labels = ("--label", "background=0", "--label", "organ=1", "--label", "a=b=2")
        result = run(source, "--project", tmp_path, *self.patterns, *self.channels, *labels)
        assert result.exit_code == 0
        assert result.stdout.splitlines()[1] == (
            "  dataset.json was made: channels 0 T1, 1 T2; labels 0 background, 1 organ, 2 a=b, as given."
        )
        description = json.loads((tmp_path / "data/nnUNet_raw/Dataset007_Own/dataset.json").read_text())
        assert description["labels"] == {"background": 0, "organ": 1, "a=b": 2}

    def test_a_table_and_a_file_of_labels_make_one_too(self, source: Any, tmp_path: Path) -> None:
        row = "{0},imagesTr_resampled/{0}_0000.nii.gz,imagesTr_resampled/{0}_0001.nii.gz,labelsTr/{0}.nii.gz,s1"
        lines = ["case,image_T1,image_T2,label,site", *(row.format(f"case_{n}") for n in range(6))]
        (source / "cases.csv").write_text("\n".join(lines))
        (source / "labels.json").write_text('{"background": 0, "organ": 1, "lesion": 2}')
        table = ("--list", source / "cases.csv", "--label-names", source / "labels.json")
        result = run(source, "--project", tmp_path, *table, "--link", "hardlink")
        assert result.exit_code == 0
        assert "18 files were hard-linked." in result.stdout
        assert (tmp_path / "data/nnUNet_raw/Dataset007_Own/cases.csv").is_file()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (patterns[:2], "--images needs --labels"),
            ((*patterns, "--list", "cases.csv"), "--list names every file; take --images"),
            (channels, "--channel need --images or --list"),
            (("--labels", "x", "--label", "a=1"), "--labels, --label need --images or --list"),
            ((*patterns, *channels, "--label", "organ"), "--label is 'organ'. It must be a name, = and a whole number"),
            ((*patterns, *channels, "--label", "a=1.5"), r"--label is 'a=1\.5'"),
            ((*patterns, *channels, "--label", "a=1", "--label", "a=2"), "--label names 'a' twice"),
            ((*patterns, *channels, "--label", "a=1", "--label-names", "x"), "--label and --label-names both name"),
        ],
    )
    def test_options_that_contradict_are_refused(
        self, source: Any, tmp_path: Path, options: Any, sentence: str
    ) -> None:
        result = run(source, "--project", tmp_path, *options)
        assert isinstance(result.exception, ConfigError)
        assert re.search(sentence, str(result.exception))
        assert not (tmp_path / "data").exists()

    def test_a_folder_without_dataset_json_says_how_to_go_on(self, source: Any, tmp_path: Path) -> None:
        result = run(source, "--project", tmp_path)
        assert isinstance(result.exception, DatasetError)
        assert "say how they are named, with --images and --labels, or list them in a table, with --list." in str(
            result.exception
        )


@pytest.fixture
def open_folder() -> Iterator[Any]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_raw_folder_that_may_not_be_written_is_a_sentence(open_folder: Any) -> None:
    (open_folder / "raw").mkdir()
    code = (
        "import os, sys; from pathlib import Path; from nnunet_assets.nnunet.raw.raw_root import new_dataset\n"
        "from nnunet_assets.errors import DatasetError\n"
        "os.setuid(65534)\n"
        "try:\n    with new_dataset(Path(sys.argv[1]), 'Dataset004_Tiny'): pass\n"
        "except DatasetError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, open_folder / "raw"], capture_output=True, text=True, check=True
    )
    assert f"{open_folder / 'raw'} cannot be written: Permission denied" in shown.stdout
    assert "set nnUNet_raw, with nnU-Net's two other variables, to a folder of your own." in shown.stdout
