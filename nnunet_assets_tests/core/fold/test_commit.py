import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files import digests
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.fold import commit
from nnunet_assets.core.fold.commit import (
    UNKNOWN,
    FinishedFold,
    FoldInputs,
    Manifest,
    commit_fold,
    commit_sha256,
    has_committed_scores,
    read_committed,
    scores_on_disk,
)
from nnunet_assets.core.fold.journal import Record, journal_path, write_records
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary

DICES = {"a": 0.5, "b": 0.25, "c": float("nan")}
RESULTS = {"checkpoint_final.pth": b"weights", "validation/summary.json": b'{"mean": {}}'}


@pytest.fixture
def fold_folder(tmp_path: Path) -> Any:
    """A committed fold of two small result files."""
    folder = tmp_path / "fold_0"
    for name, content in RESULTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    commit_fold(folder, manifest_of(folder))
    return folder


def manifest_of(folder: Any) -> Any:
    return replace(build_manifest(folder), files={name: file_sha256(folder / name) for name in RESULTS})


def test_a_committed_fold_gives_its_manifest_back(fold_folder: Path) -> None:
    assert read_committed(fold_folder) == manifest_of(fold_folder)
    assert read_committed(fold_folder, check_files=True) == manifest_of(fold_folder)
    assert commit_sha256(fold_folder) == file_sha256(fold_folder / ".nnunet_assets" / "manifest.json")


def test_a_folder_that_is_not_there_is_not_finished(tmp_path: Path) -> None:
    assert read_committed(tmp_path / "fold_7") is None


def test_a_file_in_the_place_of_the_folder_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "fold_0").write_text("")
    assert read_committed(tmp_path / "fold_0") is None


@pytest.mark.parametrize("name", ["COMMIT", "manifest.json"])
def test_without_its_commit_or_manifest_a_fold_is_not_finished(fold_folder: Path, name: str) -> None:
    (fold_folder / ".nnunet_assets" / name).unlink()
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("name", ["COMMIT", "manifest.json"])
@pytest.mark.parametrize("keep", [0, 1, 20, -3])
def test_a_torn_commit_or_manifest_is_not_finished(fold_folder: Path, name: str, keep: int) -> None:
    path = fold_folder / ".nnunet_assets" / name
    path.write_bytes(path.read_bytes()[:keep])
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "{}", '{"manifest_sha256": null}'])
def test_another_commit_is_not_finished(fold_folder: Path, content: str) -> None:
    (fold_folder / ".nnunet_assets" / "COMMIT").write_text(content)
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("schema", [0, 3, "1", None])
def test_a_manifest_of_another_version_is_not_finished(fold_folder: Path, schema: int | str | None) -> None:
    own = fold_folder / ".nnunet_assets"
    (own / "manifest.json").write_text(
        json.dumps({**json.loads((own / "manifest.json").read_text()), "schema": schema})
    )
    (own / "COMMIT").write_text(json.dumps({"manifest_sha256": file_sha256(own / "manifest.json")}))
    assert read_committed(fold_folder) is None


def test_an_edited_manifest_is_not_finished(fold_folder: Path) -> None:
    path = fold_folder / ".nnunet_assets" / "manifest.json"
    path.write_text(path.read_text().replace('"n_epochs": 2', '"n_epochs": 1000'))
    assert read_committed(fold_folder) is None


@pytest.mark.parametrize("name", list(RESULTS))
def test_a_fold_whose_result_is_gone_is_not_finished(fold_folder: Path, name: Any) -> None:
    (fold_folder / name).unlink()
    assert read_committed(fold_folder) is None


def test_an_edited_summary_is_not_finished(fold_folder: Path) -> None:
    (fold_folder / "validation" / "summary.json").write_bytes(b'{"mean": {"1": 1.0}}')
    assert read_committed(fold_folder) is None


def test_another_checkpoint_is_found_where_the_files_are_read(fold_folder: Path) -> None:
    (fold_folder / "checkpoint_final.pth").write_bytes(b"weightz")
    assert read_committed(fold_folder) is not None
    assert read_committed(fold_folder, check_files=True) is None


def test_the_manifest_of_a_new_attempt_without_its_commit_is_not_finished(fold_folder: Path) -> None:
    own = fold_folder / ".nnunet_assets"
    old_commit = (own / "COMMIT").read_bytes()
    commit_fold(fold_folder, replace(manifest_of(fold_folder), n_epochs=7))
    (own / "COMMIT").write_bytes(old_commit)
    assert read_committed(fold_folder) is None


def test_of_an_adopted_fold_nobody_knows_how_many_gpus_it_had(fold_folder: Path) -> None:
    manifest = replace(manifest_of(fold_folder), device="NVIDIA H200", seconds={"training": 7200.0}, details={})
    assert manifest.gpu_hours == 2
    assert replace(manifest, details={"adopted": "2026-11-20"}).gpu_hours is None


def test_the_inputs_that_differ_are_named() -> None:
    inputs = FoldInputs("raw", "plans", "splits", "training")
    assert inputs.differences(inputs) == []
    other = FoldInputs("new", "plans", "new", "new")
    assert inputs.differences(other) == ["raw data", "splits", "training settings"]
    assert inputs.differences(replace(inputs, plans_hash="new")) == ["plans"]


class TestValidatedAgain:
    """nnU-Net's own advice is to run a validation again with --npz: the scores are the same, the file is another."""

    def write(self, folder: Any, dices: Any, path: str = "/moved/fold_0/validation") -> None:
        entries = [summary_entry(case, {"1": {"Dice": dice, "IoU": dice}}) for case, dice in dices.items()]
        for entry in entries:
            entry["prediction_file"] = entry["prediction_file"].replace("/results/fold_0/validation", path)
        write_validation_summary(folder, entries)

    @pytest.fixture
    def fold_folder(self, tmp_path: Path) -> Any:
        folder = tmp_path / "model" / "fold_0"
        self.write(folder, DICES)
        (folder.parent / "dataset.json").write_text(
            json.dumps({"labels": {"background": 0, "tumor": 1}, "file_ending": ".nii.gz"})
        )
        return folder

    def committed(self, folder: Any, *, schema: Any) -> Any:
        manifest = replace(build_manifest(folder), details={"validation_cases": sorted(DICES)})
        commit_fold(folder, manifest)
        if schema == 1:
            path = folder / ".nnunet_assets" / "manifest.json"
            content = json.loads(path.read_text())
            del content["scores"]
            path.write_text(json.dumps({**content, "schema": 1}))
            path.with_name("COMMIT").write_text(json.dumps({"manifest_sha256": file_sha256(path)}))
        return folder

    def journal(self, folder: Any, mean: Any) -> None:
        values = {"val_dice_mean": mean, "val_dice/tumor": mean, "val_iou_mean": mean, "val_iou/tumor": mean}
        write_records(journal_path(folder), [Record("end", 1, None, values)])

    def test_other_paths_order_and_format_leave_it_finished(self, fold_folder: Path) -> None:
        self.committed(fold_folder, schema=2)
        self.write(fold_folder, dict(reversed(DICES.items())), path="D:\\x\\validation")
        assert read_committed(fold_folder, check_files=True) is not None

    @pytest.mark.parametrize("score", [0.5000000000000001, 0.4, 0.3, 0.2, 0.1, 0.0])
    def test_another_score_does_not(self, fold_folder: Path, score: float) -> None:
        self.committed(fold_folder, schema=2)
        self.write(fold_folder, {**DICES, "a": score})
        assert read_committed(fold_folder) is None

    def test_of_schema_1_the_means_at_the_end_of_the_journal_prove_it(self, fold_folder: Path) -> None:
        self.committed(fold_folder, schema=1)
        self.journal(fold_folder, 0.375)
        before = read_committed(fold_folder)
        self.write(fold_folder, DICES, path="/elsewhere")
        assert before is not None
        assert read_committed(fold_folder) == before
        self.write(fold_folder, {**DICES, "a": 0.75})
        assert read_committed(fold_folder) is None

    def test_of_schema_1_without_any_record_only_the_same_bytes_do(self, fold_folder: Path) -> None:
        self.committed(fold_folder, schema=1)
        assert read_committed(fold_folder) is not None
        self.write(fold_folder, DICES, path="/elsewhere")
        assert read_committed(fold_folder) is None

    @pytest.mark.parametrize("damage", ["swapped", "another commit", "gone case"])
    def test_of_schema_1_the_summary_of_the_experiment_knows_each_case(self, fold_folder: Path, damage: str) -> None:
        self.committed(fold_folder, schema=1)
        cases = {
            case: {"tumor": {"dice": None if case == "c" else dice, "iou": None if case == "c" else dice}}
            for case, dice in DICES.items()
        }
        folds = [{"commit_sha256": commit_sha256(fold_folder), "cases": cases}]
        summary = fold_folder.parent / "nnunet_assets" / "cv_summary.json"
        summary.parent.mkdir()
        summary.write_text(json.dumps({"folds": folds}))
        self.write(fold_folder, DICES, path="/elsewhere")
        assert read_committed(fold_folder) is not None
        if damage == "swapped":  # the same means
            self.journal(fold_folder, 0.375)
            self.write(fold_folder, {**DICES, "a": 0.25, "b": 0.5})
        elif damage == "gone case":
            self.write(fold_folder, {"a": 0.5, "b": 0.25})
        else:
            summary.write_text(json.dumps({"folds": [{**folds[0], "commit_sha256": "of an earlier training"}]}))
        assert read_committed(fold_folder) is None


def test_cases_of_windows_that_a_version_before_took_for_whole_paths_get_their_names(fold_folder: Path) -> None:
    manifest = replace(manifest_of(fold_folder), details={"adopted": "2026-11-20", "validation_cases": [
        "C:\\data\\fold_0\\validation\\case_00", "fold_0\\validation\\case_01", "case_02"]})  # fmt: skip
    content = {"schema": 1, **asdict(manifest)}
    del content["scores"]
    assert Manifest.from_json(content).details["validation_cases"] == ["case_00", "case_01", "case_02"]


def test_a_validation_again_has_the_same_result_by_its_scores_or_in_schema_1_by_its_bytes() -> None:
    files = {"checkpoint_final.pth": "weights", SUMMARY_FILE: "bytes"}
    now = replace(build_manifest(Path("fold_0")), files=files, scores="scores-1:a")
    elsewhere = replace(now, files={**files, SUMMARY_FILE: "the same scores under other paths"})
    old = replace(now, scores=None)
    assert now.has_same_result(elsewhere)
    assert now.has_same_result(old)
    assert not elsewhere.has_same_result(old)
    assert not now.has_same_result(replace(elsewhere, scores="scores-1:b"))
    assert not now.has_same_result(replace(now, files={**files, "checkpoint_final.pth": "others"}))
    assert not replace(old, files={}).has_same_result(replace(old, files={}))


def test_the_versions_of_a_package_are_all_it_was_made_under_or_the_one_that_is_known(fold_folder: Path) -> None:
    manifest = replace(manifest_of(fold_folder), versions={"torch": "2.15"})
    assert (manifest.versions_of("torch"), manifest.versions_of("numpy")) == (["2.15"], [])
    stages = [{"first_epoch": n, "versions": {"torch": version}} for n, version in enumerate(["2.14", "2.15"])]
    mixed = replace(manifest, details={"stages": stages})
    assert (mixed.versions_of("torch"), mixed.versions_of("numpy")) == (["2.14", "2.15"], [])


def test_gpu_hours_are_those_of_every_gpu_in_training_and_validation(fold_folder: Path) -> None:
    manifest = replace(manifest_of(fold_folder), seconds={"training": 3600.0, "validation": 1800.0}, details={})
    assert replace(manifest, device="NVIDIA H200").gpu_hours == 1.5
    two = replace(manifest, device="NVIDIA H200", details={"options": {"num_gpus": 2}})
    assert two.gpu_hours == 3.0
    assert [replace(two, device=device).gpu_hours for device in ("cpu", "mps")] == [None, None]


def test_what_is_unknown_of_one_may_be_the_same_and_of_both_is(fold_folder: Path) -> None:
    inputs = FoldInputs("raw", "plans", UNKNOWN, "training")
    other = FoldInputs(UNKNOWN, "plans", UNKNOWN, "others")
    assert inputs.differences(other) == ["raw data (unknown of one)", "training settings"]
    assert other.differences(inputs) == ["raw data (unknown of one)", "training settings"]


def test_the_checkpoint_that_was_validated_is_said_by_the_options(fold_folder: Path) -> None:
    manifest = replace(manifest_of(fold_folder), details={})
    best = replace(manifest, details={"options": {"val_best": True}})
    assert [one.validated for one in (manifest, best)] == ["checkpoint_final.pth", "checkpoint_best.pth"]
    adopted = replace(best, details={**best.details, "adopted": "2026-11-20"})
    assert (adopted.validated, adopted.is_adopted, best.is_adopted) == (UNKNOWN, True, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "not a manifest: no object"),
        ({"schema": 3}, "schema 3, where 2 and older are read"),
        ({}, "schema None"),
        ({"schema": 2}, "not a manifest: 'inputs'"),
        ({"schema": 2, "inputs": {"raw_hash": "a"}}, "not a manifest: .*missing"),
        ({"schema": 2, "inputs": 3}, "not a manifest: "),
        ({"schema": 2, "inputs": {}, "more": 1}, "not a manifest: "),
    ],
)
def test_what_is_no_manifest_says_so(content: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Manifest.from_json(content)


@pytest.mark.parametrize(("schema", "adopted"), [(1, False), (2, True)])
def test_names_that_look_like_paths_are_taken_for_paths_of_adopted_folds_of_the_first_schema_alone(
    fold_folder: Path, schema: int, adopted: bool
) -> None:
    details: dict[str, Any] = {"validation_cases": ["C:\\data\\case_00"], **({"adopted": "2026"} if adopted else {})}
    content = {"schema": schema, **asdict(replace(manifest_of(fold_folder), details=details))}
    assert Manifest.from_json(content).details == details


def test_files_of_json_are_read_whether_checkpoints_are_or_not(fold_folder: Path) -> None:
    (fold_folder / "plans.json").write_text("{}")
    manifest = manifest_of(fold_folder)
    files = {**manifest.files, "plans.json": file_sha256(fold_folder / "plans.json")}
    commit_fold(fold_folder, replace(manifest, files=files))
    assert read_committed(fold_folder) is not None
    (fold_folder / "plans.json").write_text("[]")
    assert read_committed(fold_folder) is None


def test_a_checkpoint_that_was_read_and_is_the_same_file_is_not_read_again(
    fold_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)
    read: list[str] = []
    monkeypatch.setattr(commit, "file_sha256", lambda path: read.append(path.name) or file_sha256(path))
    first = FinishedFold.read(fold_folder, check_files=True)
    assert first is not None
    assert (read, list(first.checked)) == (["checkpoint_final.pth"], ["checkpoint_final.pth"])
    assert FinishedFold.read(fold_folder, check_files=True, known=first) == first
    assert read == ["checkpoint_final.pth"]
    assert FinishedFold.read(fold_folder, check_files=True, known=replace(first, checked={})) == first
    # Of another content than was wanted then, it proves nothing.
    other = replace(first, manifest=replace(first.manifest, files={"checkpoint_final.pth": "other"}))
    assert FinishedFold.read(fold_folder, check_files=True, known=other) == first
    assert len(read) == 3
    checkpoint = fold_folder / "checkpoint_final.pth"
    checkpoint.write_bytes(b"weightz, longer")
    assert FinishedFold.read(fold_folder, check_files=True, known=first) is None


def test_a_file_that_may_still_change_within_a_tick_is_read_again(
    fold_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 1e6)
    found = FinishedFold.read(fold_folder, check_files=True)
    assert found is not None
    assert found.checked == {}


def test_a_finished_fold_is_named_by_its_manifest_its_commit_and_its_scores(fold_folder: Path) -> None:
    found = FinishedFold.read(fold_folder)
    assert found is not None
    written = (fold_folder / ".nnunet_assets" / "COMMIT").stat().st_mtime_ns
    assert found.commit == (commit_sha256(fold_folder), written)
    assert found.summary == RESULTS["validation/summary.json"]
    assert replace(found, manifest=replace(found.manifest, scores="scores-1:a")).scores == "scores-1:a"
    bare = replace(found, manifest=replace(found.manifest, scores=None))
    assert bare.scores == scores_digest(RESULTS["validation/summary.json"])
    assert replace(found, summary=None).scores is None
    assert scores_on_disk(fold_folder) == found.scores
    assert scores_on_disk(fold_folder.with_name("fold_9")) is None


def test_scores_are_the_committed_ones_by_bytes_by_digest_or_by_record(fold_folder: Path) -> None:
    content = json.dumps({"metric_per_case": []}).encode()
    digest = scores_digest(content)
    manifest = replace(manifest_of(fold_folder), scores=digest)
    assert has_committed_scores(fold_folder, manifest, content, "a")
    assert has_committed_scores(fold_folder, manifest, RESULTS["validation/summary.json"], "a")
    assert not has_committed_scores(fold_folder, manifest, b'{"metric_per_case": [1]}', "a")
    nothing = replace(manifest, scores=None, files={}, details={})
    assert not has_committed_scores(fold_folder, nothing, content, "a")


def test_results_are_the_same_only_where_training_versions_epochs_and_what_was_validated_are(
    fold_folder: Path,
) -> None:
    now = replace(manifest_of(fold_folder), scores="scores-1:a", details={})
    others = (
        replace(now, fold="fold_9"),
        replace(now, inputs=replace(now.inputs, raw_hash="another")),
        replace(now, versions={"torch": "1"}),
        replace(now, n_epochs=99),
        replace(now, details={"options": {"val_best": True}}),
    )
    assert now.has_same_result(replace(now, device="another", seconds={}))
    assert not any(now.has_same_result(other) for other in others)
    assert not replace(now, scores=None).has_same_result(replace(now, files={}))
