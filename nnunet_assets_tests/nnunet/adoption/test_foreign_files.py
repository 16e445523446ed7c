"""Files of trainings elsewhere, as nnU-Net 2.0 to 2.8 leaves them on any machine: each variant is adopted, or named."""

import json
import os
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, Manifest, commit_fold
from nnunet_assets.core.fold.fold_provenance import OF_ONE_PROCESS
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.errors import FoldError, SummaryError
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.nnunet.adoption.foreign_files import (
    SETTINGS,
    logged_validation_sizes,
    proved_settings,
    read_debug,
)
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets_tests.foreign_fold_builders import DATASET, write_foreign_fold

EXPERIMENT = Experiment(DATASET, "3d_fullres")
DEBUG = {
    "num_epochs": "3",
    "batch_size": "2",
    "oversample_foreground_percent": "0.33",
    "initial_lr": "0.01",
    "is_ddp": "False",
    "local_rank": "0",
}
DDP = {"is_ddp": "True", "batch_size": "1", "oversample_foreground_percent": "0.0"}

CASES = {"case_00": (0.9, 0.5), "a.b (1)": (0.7, 0.25)}

many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

parts = st.text(st.sampled_from("abcXYZ 09_-.()äß"), min_size=1, max_size=8).filter(lambda part: part.strip(". "))
roots = st.one_of(
    st.sampled_from("CdZ").map(lambda drive: f"{drive}:\\"),
    st.sampled_from("CdZ").map(lambda drive: f"{drive}:/"),
    st.tuples(parts, parts).map(lambda names: f"\\\\{names[0]}\\{names[1]}\\"),
    st.tuples(parts, parts).map(lambda names: f"//{names[0]}/{names[1]}\\"),
    st.just("\\\\?\\C:\\"),
    st.just(""),
    st.just("/data/"),
    st.just("/mnt/c/"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_foreign_fold(tmp_path, 0, CASES)


def write_paths(folder: Path, prefix: str) -> None:
    summary = folder / "validation" / "summary.json"
    content = json.loads(summary.read_bytes())
    for case, entry in zip(CASES, content["metric_per_case"], strict=True):
        entry["prediction_file"] = entry["reference_file"] = f"{prefix}{case}.nii.gz"
    summary.write_text(json.dumps(content))


@many
@given(root=roots, names=st.lists(parts, min_size=0, max_size=4), mixed=st.booleans())
def test_cases_of_any_machine_have_their_names_and_no_path_stands_in_the_manifest(
    folder: Path, root: str, names: list[str], mixed: bool
) -> None:
    slash = "/" if root.startswith("/") and not root.startswith("//") else "\\"
    prefix = root + "".join(f"{name}{'/' if mixed and index % 2 else slash}" for index, name in enumerate(names))
    write_paths(folder, f"{prefix}fold_0{slash}validation{slash}")
    shutil.rmtree(folder / ".nnunet_assets", ignore_errors=True)

    manifest = adopt_fold(folder).manifest

    assert manifest.details["validation_cases"] == ["a.b (1)", "case_00"]
    written = (folder / ".nnunet_assets" / "manifest.json").read_text()
    assert "fold_0\\" not in written
    assert "validation\\" not in written
    (result,) = fold_results_in(folder.parent, ["fold_0"])
    assert [case.case_id for case in result.cases] == ["a.b (1)", "case_00"]


def test_a_fold_of_windows_that_a_version_before_adopted_is_read_and_adopted_anew(folder: Path) -> None:
    write_paths(folder, "C:\\data\\fold_0\\validation\\")
    manifest = adopt_fold(folder).manifest
    cases = [f"C:\\data\\fold_0\\validation\\{case}" for case in manifest.details["validation_cases"]]
    as_schema_1(folder, manifest, validation_cases=cases)

    (result,) = fold_results_in(folder.parent, ["fold_0"])
    assert [case.case_id for case in result.cases] == ["a.b (1)", "case_00"]
    again = adopt_fold(folder)
    assert (again.is_new, again.manifest.details["validation_cases"]) == (True, ["a.b (1)", "case_00"])
    assert not adopt_fold(folder).is_new


def as_schema_1(folder: Path, manifest: Manifest, **details: Any) -> None:
    commit_fold(folder, manifest)
    path = folder / ".nnunet_assets" / "manifest.json"
    content = json.loads(path.read_text())
    del content["scores"]
    content["details"] |= details
    path.write_text(json.dumps({**content, "schema": 1}))
    path.with_name("COMMIT").write_text(json.dumps({"manifest_sha256": file_sha256(path)}))


# --- debug.json -----------------------------------------------------------------------------------------------------


def adopted_folds(results: Path, debugs: list[dict[str, Any] | None]) -> list[str]:
    for number, debug in enumerate(debugs):
        fold = write_foreign_fold(results, number, {f"case_{number}": (0.5, 0.5)})
        if debug is None:
            (fold / "debug.json").unlink()
        else:
            (fold / "debug.json").write_text(json.dumps(debug))
        adopt_fold(fold)
    return [f"fold_{number}" for number in range(len(debugs))]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_ddp=st.integers(0, 4),
    as_numbers=st.booleans(),
    older=st.sets(st.sampled_from(["initial_lr", "batch_size"]), max_size=2),
    seed=st.integers(0, 999),
)
def test_folds_on_several_gpus_of_older_versions_or_with_numbers_for_texts_are_of_one_making(
    tmp_path_factory: pytest.TempPathFactory, n_ddp: int, as_numbers: bool, older: set[str], seed: int
) -> None:
    debugs: list[dict[str, Any] | None] = [{**DEBUG, **(DDP if number < n_ddp else {})} for number in range(5)]
    debugs[4] = {key: value for key, value in DEBUG.items() if key not in older}  # writes less
    if as_numbers:
        debugs[3] = {**(debugs[3] or {}), "num_epochs": 3, "initial_lr": 1e-2, "is_ddp": n_ddp > 3}
    random.Random(seed).shuffle(debugs)
    results = tmp_path_factory.mktemp("results")
    folds = adopted_folds(results, debugs)
    summary = summarize(EXPERIMENT, folds, fold_results_in(results / DATASET / EXPERIMENT.name, folds))
    assert summary.is_complete


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd=st.integers(0, 4), name=st.sampled_from([*DEBUG][:4]), n_ddp=st.integers(0, 2))
def test_a_setting_that_differs_is_named_with_both_values_and_its_fold(
    tmp_path_factory: pytest.TempPathFactory, odd: int, name: str, n_ddp: int
) -> None:
    debugs: list[dict[str, Any] | None] = [dict(DEBUG) for _ in range(5)]
    others = [number for number in range(5) if number != odd][:n_ddp]
    for number in others:
        debugs[number] = {**DEBUG, **DDP}
    debugs[odd] = {**DEBUG, name: "7"}
    results = tmp_path_factory.mktemp("results")
    folds = adopted_folds(results, debugs)
    with pytest.raises(SummaryError) as refusal:
        summarize(EXPERIMENT, folds, fold_results_in(results / DATASET / EXPERIMENT.name, folds))
    assert f"fold_{odd} and " in str(refusal.value)
    assert f"differ in training settings ({name} 7 and {DEBUG[name]})" in str(refusal.value)
    is_share = name in ("batch_size", "oversample_foreground_percent")
    assert ("adopt them again" in str(refusal.value)) == is_share
    assert f"{'t' if is_share else 'T'}rain fold_{odd} again" in str(refusal.value)


def test_a_fold_without_debug_json_is_adopted_and_averaged_with_those_that_prove_more(tmp_path: Path) -> None:
    folds = adopted_folds(tmp_path, [dict(DEBUG), None, dict(DEBUG)])
    results = fold_results_in(tmp_path / DATASET / EXPERIMENT.name, folds)
    assert results[1].inputs.training_hash == UNKNOWN
    assert summarize(EXPERIMENT, folds, results).completed_folds == tuple(folds)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"is_ddp": {}}', b"\xff\xfe", b"[" * 100_000])
def test_a_debug_json_that_is_none_proves_nothing(folder: Path, content: bytes) -> None:
    (folder / "debug.json").write_bytes(content)
    assert proved_settings(read_debug(folder)) == {}
    assert adopt_fold(folder).manifest.inputs.training_hash == UNKNOWN


@pytest.mark.parametrize("shown", [{"is_ddp": "True"}, {"is_ddp": True}, {"is_ddp": "true"}, {"local_rank": "1"}])
def test_of_several_processes_the_share_of_one_proves_nothing(folder: Path, shown: dict[str, Any]) -> None:
    (folder / "debug.json").write_text(json.dumps({**dict.fromkeys(SETTINGS, "1"), **shown}))
    assert set(proved_settings(read_debug(folder))) == set(SETTINGS) - set(OF_ONE_PROCESS)


# --- logs -----------------------------------------------------------------------------------------------------------

SENTENCES = (
    "This split has {} training and {} validation cases.",
    "This random 80:20 split has {} training and {} validation cases.",
)


@many
@given(data=st.data(), n_starts=st.integers(1, 5), sentence=st.sampled_from(SENTENCES))
def test_the_order_of_logs_is_that_of_the_times_in_their_names(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n_starts: int, sentence: str
) -> None:
    folder = tmp_path_factory.mktemp("fold")
    begin = datetime(2022, 12, 31, 23, 0, 0)
    gaps = data.draw(st.lists(st.integers(1, 10**7), min_size=n_starts, max_size=n_starts))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=n_starts, max_size=n_starts))
    for gap, size in zip(gaps, sizes, strict=True):
        begin += timedelta(seconds=gap)
        name = f"training_log_{begin.year}_{begin.month}_{begin.day}_{begin:%H_%M_%S}.txt"
        (folder / name).write_text(f"{begin}: {sentence.format(10 - size, size)}\n")
        os.utime(folder / name, (t := data.draw(st.integers(0, 2 * 10**9)), t))
    assert logged_validation_sizes(folder) == sizes


def test_where_names_cannot_tell_the_times_of_the_files_do(tmp_path: Path) -> None:
    for name, size, written in (("old", 1, 10), ("new", 2, 20), ("2023_13_45_99_99_99", 3, 30)):
        log = tmp_path / f"training_log_{name}.txt"
        log.write_text(SENTENCES[0].format(9, size))
        os.utime(log, (written, written))
    assert logged_validation_sizes(tmp_path) == [1, 2, 3]


def test_scores_that_agree_with_any_log_are_adopted_and_those_that_agree_with_none_are_not(folder: Path) -> None:
    (folder / "training_log_2030_1_1_00_00_00.txt").write_text(SENTENCES[0].format(9, 1))
    assert adopt_fold(folder).is_new

    for log in folder.glob("training_log_*.txt"):
        log.write_text(SENTENCES[0].format(5, 5))
    write_foreign_fold(folder.parents[2], 0, {"a": (0.5, 0.5)})
    (folder / "training_log_2020_9_13_12_26_40.txt").write_text(SENTENCES[1].format(5, 5))
    with pytest.raises(FoldError, match="has the scores of 1 cases, and by the log 5 were to be validated"):
        adopt_fold(folder)


def test_a_fold_without_a_log_is_adopted(folder: Path) -> None:
    for log in folder.glob("training_log_*.txt"):
        log.unlink()
    assert adopt_fold(folder).is_new
