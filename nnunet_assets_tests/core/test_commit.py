import json
from dataclasses import replace

import pytest

from nnunet_assets.core.commit import FoldInputs, commit_fold, commit_sha256, read_committed
from nnunet_assets.core.provenance import file_sha256
from nnunet_assets_tests.builders import build_manifest

RESULTS = {"checkpoint_final.pth": b"weights", "validation/summary.json": b'{"mean": {}}'}


@pytest.fixture
def fold_folder(tmp_path):
    """A committed fold of two small result files."""
    folder = tmp_path / "fold_0"
    for name, content in RESULTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    commit_fold(folder, manifest_of(folder))
    return folder


def manifest_of(folder):
    return replace(build_manifest(folder), files={name: file_sha256(folder / name) for name in RESULTS})


def test_a_committed_fold_gives_its_manifest_back(fold_folder):
    assert read_committed(fold_folder) == manifest_of(fold_folder)
    assert read_committed(fold_folder, check_files=True) == manifest_of(fold_folder)
    assert commit_sha256(fold_folder) == file_sha256(fold_folder / ".nnunet_assets" / "manifest.json")


def test_a_folder_that_is_not_there_is_not_finished(tmp_path):
    assert read_committed(tmp_path / "fold_7") is None


def test_a_file_in_the_place_of_the_folder_is_not_finished(tmp_path):
    (tmp_path / "fold_0").write_text("")
    assert read_committed(tmp_path / "fold_0") is None


@pytest.mark.parametrize("name", ["COMMIT", "manifest.json"])
def test_without_its_commit_or_manifest_a_fold_is_not_finished(fold_folder, name):
    (fold_folder / ".nnunet_assets" / name).unlink()
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("name", ["COMMIT", "manifest.json"])
@pytest.mark.parametrize("keep", [0, 1, 20, -3])
def test_a_torn_commit_or_manifest_is_not_finished(fold_folder, name, keep):
    path = fold_folder / ".nnunet_assets" / name
    path.write_bytes(path.read_bytes()[:keep])
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "{}", '{"manifest_sha256": null}'])
def test_another_commit_is_not_finished(fold_folder, content):
    (fold_folder / ".nnunet_assets" / "COMMIT").write_text(content)
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_manifest_of_another_version_is_not_finished(fold_folder, schema):
    own = fold_folder / ".nnunet_assets"
    (own / "manifest.json").write_text(
        json.dumps({**json.loads((own / "manifest.json").read_text()), "schema": schema})
    )
    (own / "COMMIT").write_text(json.dumps({"manifest_sha256": file_sha256(own / "manifest.json")}))
    assert read_committed(fold_folder) is None


def test_an_edited_manifest_is_not_finished(fold_folder):
    path = fold_folder / ".nnunet_assets" / "manifest.json"
    path.write_text(path.read_text().replace('"n_epochs": 2', '"n_epochs": 1000'))
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("name", list(RESULTS))
def test_a_fold_whose_result_is_gone_is_not_finished(fold_folder, name):
    (fold_folder / name).unlink()
    assert read_committed(fold_folder) is None


def test_an_edited_summary_is_not_finished(fold_folder):
    (fold_folder / "validation" / "summary.json").write_bytes(b'{"mean": {"1": 1.0}}')
    assert read_committed(fold_folder) is None


def test_another_checkpoint_is_found_where_the_files_are_read(fold_folder):
    (fold_folder / "checkpoint_final.pth").write_bytes(b"weightz")
    assert read_committed(fold_folder) is not None
    assert read_committed(fold_folder, check_files=True) is None


def test_the_manifest_of_a_new_attempt_without_its_commit_is_not_finished(fold_folder):
    own = fold_folder / ".nnunet_assets"
    old_commit = (own / "COMMIT").read_bytes()
    commit_fold(fold_folder, replace(manifest_of(fold_folder), n_epochs=7))
    (own / "COMMIT").write_bytes(old_commit)
    assert read_committed(fold_folder) is None


def test_of_an_adopted_fold_nobody_knows_how_many_gpus_it_had(fold_folder):
    manifest = replace(manifest_of(fold_folder), device="NVIDIA H200", seconds={"training": 7200.0}, details={})
    assert manifest.gpu_hours == 2
    assert replace(manifest, details={"adopted": "2026-11-20"}).gpu_hours is None


def test_the_inputs_that_differ_are_named():
    inputs = FoldInputs("raw", "plans", "splits", "training")
    assert inputs.differences(inputs) == []
    other = FoldInputs("new", "plans", "new", "new")
    assert inputs.differences(other) == ["raw data", "splits", "training settings"]
    assert inputs.differences(replace(inputs, plans_hash="new")) == ["plans"]
