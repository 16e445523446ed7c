from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.dataset.check import check
from nnunet_assets.core.files import digests
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import ConfigError, DatasetError, ForeignCodeError
from nnunet_assets.nnunet.images import image_reader
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.processes.variables import TRUSTED_CODE_VARIABLE
from nnunet_assets_tests.intake_defects import DEFECTS
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import (
    DATASET,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nnU-Net's variables the data lies in the project; its files are believed at once."""
    write_project(tmp_path, {})
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)


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
        f"{DATASET}: 10 cases, no errors, no warnings. Cases read: 10.",
    ]
    assert page.is_file()
    assert [result.stdout.split()[-1] for result in results] == ["10.", "0.", "10."]


def test_an_error_ends_with_1_and_is_recorded_as_the_asset_does(tmp_path: Path, folder: Path) -> None:
    DEFECTS["a shape"].spoil(folder, "case_1")
    result = run(tmp_path)
    assert result.return_value == 1
    assert "D041 labelsTr/case_1.nii.gz has the shape 4 × 5 × 5" in result.stdout
    data = tmp_path / "data"
    prepared = PreparedFolder(Roots(data, data / "nnUNet_preprocessed", data), DATASET)
    with pytest.raises(Exception, match="D041"):
        read_raw(prepared)


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


@pytest.mark.parametrize("name", ["7", "", "../x", "dataset001_tiny"])
def test_a_name_that_is_none_is_a_sentence(tmp_path: Path, folder: Path, name: str) -> None:
    result = CliRunner().invoke(check, [name, "--project", str(tmp_path)], standalone_mode=False)
    assert isinstance(result.exception, DatasetError)
    assert f"{name!r} is not a dataset name. nnU-Net's form is Dataset, three digits" in str(result.exception)


def test_a_dataset_that_is_not_there_is_a_sentence(tmp_path: Path, folder: Path) -> None:
    result = CliRunner().invoke(check, ["Dataset001_Tinny", "--project", str(tmp_path)])
    assert isinstance(result.exception, DatasetError)
    assert "Did you mean Dataset001_Tiny?" in str(result.exception)


@pytest.mark.parametrize("name", ["Tiny", "1", "Dataset001_a b", "../Dataset001_Tiny", ""])
def test_what_is_no_name_of_a_dataset_is_a_sentence(tmp_path: Path, folder: Path, name: str) -> None:
    result = CliRunner().invoke(check, [name, "--project", str(tmp_path)])
    assert isinstance(result.exception, DatasetError)
    assert f"{name!r} is not a dataset name" in str(result.exception)


class TestFix:
    @pytest.fixture(autouse=True)
    def _spoiled(self, folder: Path) -> None:
        (folder / "imagesTr/case_1_0000.nii.gz").write_bytes(b"")
        write_volume(folder / "labelsTr/case_2.nii.gz", tiny_label(), spacing_mm=(1.01, 1, 2))

    def test_it_shows_what_it_does_leaves_the_files_alone_and_the_check_passes(
        self, tmp_path: Path, folder: Path
    ) -> None:
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
        assert run(tmp_path).return_value == 1
        result = run(tmp_path, "--fix")
        assert result.return_value == 0
        assert "case_1 is left out: imagesTr/case_1_0000.nii.gz is empty (0 bytes)" in result.stdout
        assert f"{folder}/labelsTr/case_2.nii.gz gets the header of case_2_0000.nii.gz in a copy" in result.stdout
        assert "case_1 is in quarantine: " in result.stdout
        assert result.stdout.splitlines()[-1].startswith(f"{DATASET}: 9 cases, no errors")
        assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
        assert len([path for path in folder.rglob("*") if path.is_file()]) == len(before)
        assert run(tmp_path).return_value == 0

    def test_it_is_taken_back(self, tmp_path: Path) -> None:
        run(tmp_path, "--fix")
        result = run(tmp_path, "--undo")
        assert result.return_value == 1
        assert result.stdout.startswith("What --fix decided is taken back.")
        assert "D049 imagesTr/case_1_0000.nii.gz" in result.stdout
        assert run(tmp_path, "--undo").stdout.startswith("There was nothing that --fix had decided.")

    def test_it_adds_to_what_it_decided_before(self, tmp_path: Path, folder: Path) -> None:
        run(tmp_path, "--fix")
        (folder / "imagesTr/case_3_0000.nii.gz").write_bytes(b"")
        result = run(tmp_path, "--fix")
        assert result.return_value == 0
        assert "case_3 is left out" in result.stdout
        assert result.stdout.splitlines()[-1].startswith(f"{DATASET}: 8 cases, no errors")

    def test_what_is_declared_counts_too(self, tmp_path: Path) -> None:
        declared = (
            "type: nnunet_assets.components.NnunetDataset\nattributes:\n"
            f"  dataset: {DATASET}\n  quarantine:\n    case_1: lost\n  repair_headers_mm: 0.1\n"
        )
        write_project(tmp_path, {"defs.yaml": declared})
        result = run(tmp_path, "--fix")
        assert result.return_value == 0
        assert "There is nothing that --fix can do." in result.stdout
        assert "case_1 is in quarantine: lost" in result.stdout

    def test_contradictions_and_names_that_lead_elsewhere_are_refused(self, tmp_path: Path) -> None:
        assert isinstance(run(tmp_path, "--fix", "--undo").exception, ConfigError)
        result = CliRunner().invoke(check, ["../x", "--undo", "--project", str(tmp_path)])
        assert isinstance(result.exception, DatasetError)


class TestListedFiles:
    @pytest.fixture
    def listed(self, tmp_path: Path, folder: Path) -> Path:
        """Moves the labels out of nnUNet_raw, and lists them by a variable; returns where they lie."""
        outside = tmp_path / "labels of others"
        (folder / "labelsTr").rename(outside)
        cases = {
            f"case_{n}": {"images": [f"imagesTr/case_{n}_0000.nii.gz"], "label": f"$STUDY/case_{n}.nii.gz"}
            for n in range(10)
        }
        write_json(folder / "dataset.json", tiny_json(10, dataset=cases))
        return outside

    def test_the_users_word_is_an_option_and_a_field(
        self, tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".env").write_text(f"STUDY='{listed}'\nNNUNET_ASSETS_CHILD_VARIABLES=STUDY\n")
        refused = run(tmp_path)
        assert isinstance(refused.exception, DatasetError)
        assert f"lists 10 files outside of {tmp_path}/data/nnUNet_raw" in str(refused.exception)
        assert run(tmp_path, "--files-from", str(listed)).return_value == 0
        document = (
            "type: nnunet_assets.components.NnunetDataset\n"
            f"attributes: {{dataset: {DATASET}, files_from: ['{listed}']}}\n"
        )
        write_project(tmp_path, {"defs.yaml": document})
        assert run(tmp_path).return_value == 0

    @pytest.mark.parametrize("name", ["STUDY", "GITHUB_PAT", "MYSQL_PWD"])
    def test_a_variable_that_is_not_let_through_is_not_shown(
        self, tmp_path: Path, folder: Path, listed: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "hunter2")
        text = (folder / "dataset.json").read_text().replace("$STUDY", f"${name}")
        (folder / "dataset.json").write_text(text)
        result = run(tmp_path)
        assert result.return_value == 1
        assert f"${name}/case_0.nii.gz in dataset.json, which is not there" in result.stdout
        assert "hunter2" not in result.output


def test_a_reader_that_the_projects_env_file_trusts_may_be_named(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUSTED_CODE_VARIABLE, raising=False)
    monkeypatch.setattr(image_reader, "_class", lambda name: None)  # nnU-Net, whose import takes long, has no such
    write_json(folder / "dataset.json", {**tiny_json(), "numTraining": 10, "overwrite_image_reader_writer": "Mine"})
    assert isinstance(run(tmp_path).exception, ForeignCodeError)
    (tmp_path / ".env").write_text(f"{TRUSTED_CODE_VARIABLE}=Mine\n")
    assert run(tmp_path, "--fix").return_value == 0
