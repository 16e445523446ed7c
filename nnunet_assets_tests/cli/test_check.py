from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.check import check
from nnunet_assets.core.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet import file_stats
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets_tests.intake_defects import DEFECTS
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import DATASET, write_tiny_dataset


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nnU-Net's variables the data lies in the project; its files are believed at once."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(file_stats, "SAFETY_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "data/nnUNet_raw", n_cases=10)


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(check, [DATASET, "--project", str(project), *arguments], standalone_mode=False)


def test_a_good_dataset_is_read_once_and_anew_when_asked(tmp_path: Path, folder: Path) -> None:
    results = [run(tmp_path), run(tmp_path), run(tmp_path, "--rehash")]
    assert [result.return_value for result in results] == [0, 0, 0]
    page = tmp_path / f"data/nnUNet_preprocessed/{DATASET}/.nnunet_assets/intake/intake.html"
    assert results[0].stdout.splitlines() == [
        f"The report is in {page}",
        f"{DATASET}: 10 cases, no errors, no warnings. 10 cases were read.",
    ]
    assert page.is_file()
    assert [result.stdout.split()[-4] for result in results] == ["10", "0", "10"]


def test_an_error_ends_with_1_and_is_recorded_as_the_asset_does(tmp_path: Path, folder: Path) -> None:
    DEFECTS["a shape"].spoil(folder, "case_1")
    result = run(tmp_path)
    assert result.return_value == 1
    assert "D041 labelsTr/case_1.nii.gz has the shape 4 × 5 × 5" in result.stdout
    data = tmp_path / "data"
    prepared = PreparedDataset(Roots(data, data / "nnUNet_preprocessed", data), DATASET)
    with pytest.raises(Exception, match="D041"):
        prepared.read_raw()


def test_the_folds_are_those_declared_unless_others_are_asked_for(tmp_path: Path, folder: Path) -> None:
    project = write_project(
        tmp_path,
        {
            "defs.yaml": "type: nnunet_assets.components.NnunetDataset\n"
            f"attributes:\n  dataset: {DATASET}\n  folds: 11\n"
        },
    )
    assert "D029 10 cases cannot be split into 11 folds" in run(project).stdout
    assert run(project, "--folds", "5").return_value == 0


def test_a_dataset_that_is_not_there_is_a_sentence(tmp_path: Path, folder: Path) -> None:
    result = CliRunner().invoke(check, ["Dataset001_Tinny", "--project", str(tmp_path)])
    assert isinstance(result.exception, DatasetError)
    assert "Did you mean Dataset001_Tiny?" in str(result.exception)
