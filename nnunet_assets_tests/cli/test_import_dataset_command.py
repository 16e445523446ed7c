import pytest
from click.testing import CliRunner

from nnunet_assets.cli import import_dataset as module
from nnunet_assets.cli.import_dataset import import_dataset
from nnunet_assets.errors import DatasetError
from nnunet_assets_tests.raw_builders import write_decathlon


@pytest.fixture(autouse=True)
def no_roots(monkeypatch):
    """Without nnU-Net's variables, the data lies in the project."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    return CliRunner().invoke(import_dataset, [str(argument) for argument in arguments])


def test_a_decathlon_folder_arrives_in_the_project_and_the_changes_are_listed(tmp_path):
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


def test_name_id_and_link_are_obeyed(tmp_path):
    source = write_decathlon(tmp_path / "Task04_Tiny")
    assert run(source, "--project", tmp_path, "--id", 104, "--link", "symlink").exit_code == 0
    assert (tmp_path / "data/nnUNet_raw/Dataset104_Tiny/labelsTr/tiny_0.nii.gz").is_symlink()
    assert run(source, "--project", tmp_path, "--name", "Dataset007_Other").exit_code == 0
    assert (tmp_path / "data/nnUNet_raw/Dataset007_Other").is_dir()


def test_nnunets_own_raw_folder_is_used_where_it_is_set(tmp_path, monkeypatch):
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    assert run(write_decathlon(tmp_path / "Task04_Tiny")).exit_code == 0
    assert (tmp_path / "raw/Dataset004_Tiny").is_dir()


def test_the_projects_env_file_says_where_raw_data_is_as_for_dagster(tmp_path):
    roots = [f"nnUNet_{name}={tmp_path / 'elsewhere' / name}" for name in ("raw", "preprocessed", "results")]
    (tmp_path / ".env").write_text("\n".join(roots))
    assert run(write_decathlon(tmp_path / "Task04_Tiny"), "--project", tmp_path).exit_code == 0
    assert (tmp_path / "elsewhere/raw/Dataset004_Tiny").is_dir()


def test_an_error_reaches_the_caller_as_itself(tmp_path):
    result = run(tmp_path / "Task04_Gone", "--project", tmp_path)
    assert isinstance(result.exception, DatasetError)
    assert "There is no folder" in str(result.exception)


def test_an_unknown_way_to_link_is_wrong_usage(tmp_path):
    result = run(tmp_path, "--link", "move")
    assert result.exit_code != 0
    assert "'move' is not one of 'copy', 'hardlink', 'symlink'" in result.stderr


def test_a_long_import_shows_its_progress_on_standard_error(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes standard error for a terminal
    result = run(write_decathlon(tmp_path / "Task04_Tiny"), "--project", tmp_path)
    assert result.exit_code == 0
    assert "Importing" in result.stderr
    assert "Importing" not in result.stdout
