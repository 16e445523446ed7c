"""`splits` of every kind, and its checks, on real files of small images."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, PhantomConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.splits_config import GroupsConfig, SplitsConfig
from nnunet_assets_tests.assets.graphs import check, failure, graph, materialized, metadata, started
from nnunet_assets_tests.intake_defects import voxels_of
from nnunet_assets_tests.raw_builders import DATASET, tiny_label, write_tiny_dataset, write_volume
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

PAIRS = {"pattern": r"case_(?P<group>\d)\d?"}
"""Puts case_1 and case_10, case_11 into one group."""


def project_of(folder: Path, folds: int = 3, **splits: Any) -> Project:
    config = DatasetConfig(dataset=DATASET, folds=folds, splits=SplitsConfig(**splits) if splits else None)
    return Project(folder, (config,), (ExperimentConfig(dataset=DATASET, configuration="2d"),))


def run(
    folder: Path, instance: dg.DagsterInstance, *names: str, folds: int = 3, **splits: Any
) -> dg.ExecuteInProcessResult:
    definitions = graph(project_of(folder, folds, **splits))
    return materialized(definitions, *(names or ("splits",)), folder=folder, instance=instance)


@pytest.fixture
def raw(tmp_path: Path, project: Path, instance: dg.DagsterInstance) -> Path:
    """Twelve cases, of which the first three have a lesion, looked at."""
    folder = write_tiny_dataset(tmp_path / "data" / "nnUNet_raw", n_cases=12)
    for index in range(3, 12):
        write_volume(folder / "labelsTr" / f"case_{index}.nii.gz", np.minimum(tiny_label(), 1))
    run(tmp_path, instance, "raw_dataset")
    return folder


def rows(result: dg.ExecuteInProcessResult, dataset: str = DATASET) -> list[dict[str, Any]]:
    """Returns the table of folds that the web UI shows."""
    (made,) = result.asset_materializations_for_node(f"{dataset}__splits")
    table = made.metadata["folds"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def file_of(folder: Path) -> Path:
    return folder / "data" / "nnUNet_preprocessed" / DATASET / "splits_final.json"


def test_nnunets_own_split_warns_of_folds_without_a_label(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    result = run(tmp_path, instance, folds=4)

    assert result.success
    assert metadata(result, "splits")["how"] == "as nnU-Net does, seed 12345"
    found = check(result, "each_label_in_each_validation")
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert "'lesion' is in no validation case of fold_" in str(found.description)
    for name in ("each_case_is_validated_once", "no_copy_on_both_sides"):
        assert check(result, name).passed
        assert check(result, name).blocking


def test_a_stratified_split_has_each_label_in_each_fold(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    result = run(tmp_path, instance, stratify=True, seed=3)

    assert check(result, "each_label_in_each_validation").passed
    assert rows(result) == [
        {"fold": f"fold_{fold}", "train": 8, "val": 4, "organ in val": 4, "lesion in val": 1} for fold in range(3)
    ]
    assert metadata(result, "splits")["how"] == "stratified by presence and volume of the labels, seed 3"


def test_a_grouped_split_keeps_patients_together(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    result = run(tmp_path, instance, groups=GroupsConfig(**PAIRS))

    found = check(result, "no_group_on_both_sides")
    assert (found.passed, found.blocking, found.description) == (True, True, "10 groups, each on one side.")
    assert sum(row["groups in val"] for row in rows(result)) == 10
    (fold,) = [set(fold["val"]) for fold in json.loads(file_of(tmp_path).read_text()) if "case_1" in fold["val"]]
    assert {"case_10", "case_11"} <= fold


def test_one_site_is_left_out_at_a_time_and_each_fold_says_which(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    sites = ["Oslo"] * 5 + ["Bern"] * 3 + ["Lyon"] * 4
    table = "case;site\n" + "".join(f"case_{index};{site}\n" for index, site in enumerate(sites))
    (tmp_path / "sites.csv").write_text(table)

    result = run(tmp_path, instance, leave_one_group_out=True, groups=GroupsConfig(file="sites.csv", column="site"))

    assert [(row["fold"], row["groups in val"], row["val"]) for row in rows(result)] == [
        ("fold_0", "Bern", 3),
        ("fold_1", "Lyon", 4),
        ("fold_2", "Oslo", 5),
    ]
    assert metadata(result, "splits")["how"] == "one group left out at a time, by the column 'site' of sites.csv"


def test_a_file_of_the_users_own_is_taken(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    cases = [f"case_{index}" for index in range(12)]
    mine = [{"train": cases[6:], "val": cases[:6]}, {"train": cases[:6], "val": cases[6:]}]
    (tmp_path / "mine.json").write_text(json.dumps(mine))

    result = run(tmp_path, instance, folds=2, file="mine.json")

    assert json.loads(file_of(tmp_path).read_text()) == mine
    assert metadata(result, "splits")["how"] == f"read from {tmp_path}/mine.json"


def test_an_edited_file_that_leaks_a_patient_stops_the_folds(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    run(tmp_path, instance, groups=GroupsConfig(**PAIRS))
    cases = [f"case_{index}" for index in range(12)]
    mine = [{"train": [c for c in cases if c not in cases[n::3]], "val": cases[n::3]} for n in range(3)]
    file_of(tmp_path).write_text(json.dumps(mine))

    definitions = graph(project_of(tmp_path, groups=GroupsConfig(**PAIRS)))
    result = materialized(definitions, "splits", "fold_model", folder=tmp_path, instance=instance, partition="fold_0")

    assert metadata(result, "splits")["made"] == "the user's own"
    found = check(result, "no_group_on_both_sides")
    assert not found.passed
    assert "fold_1 trains on groups that it validates: 1." in str(found.description)
    assert "fold_model" not in started(result)
    assert json.loads(file_of(tmp_path).read_text()) == mine


def test_a_copy_on_both_sides_stops_the_folds(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    # Of other bytes, and with a label of its own.
    write_volume(raw / "imagesTr/case_7_0000.nii.gz", voxels_of(raw / "imagesTr/case_8_0000.nii.gz").astype(np.float64))
    write_volume(raw / "labelsTr/case_7.nii.gz", tiny_label())
    run(tmp_path, instance, "raw_dataset")
    cases = [f"case_{index}" for index in range(12)]
    mine = [{"train": [c for c in cases if c not in cases[n::3]], "val": cases[n::3]} for n in range(3)]
    file_of(tmp_path).write_text(json.dumps(mine))

    found = check(run(tmp_path, instance), "no_copy_on_both_sides")

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "fold_1 validates copies of cases that it trains on: case_7 and case_8." in str(found.description)


def test_the_checks_alone_find_a_file_that_was_spoiled_since(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    definitions = graph(project_of(tmp_path))
    run(tmp_path, instance)
    file_of(tmp_path).write_text(json.dumps([{"train": ["case_0"], "val": ["case_1"]}]))

    checks = list(definitions.asset_checks or [])
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    result = dg.materialize(
        [*assets, *checks],
        selection=dg.AssetSelection.checks(*checks),
        instance=instance,
        resources=definitions.resources,
        raise_on_error=False,
    )

    assert not check(result, "each_case_is_validated_once").passed
    assert "It has 1 folds instead of 3." in str(check(result, "each_case_is_validated_once").description)
    assert check(result, "no_copy_on_both_sides").description == "The file does not fit the cases."


def test_a_case_without_a_group_is_an_error_before_a_file_is_written(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    result = run(tmp_path, instance, groups=GroupsConfig(pattern=r"case_(?P<group>[1-9])\d?"))

    assert "does not give these cases a group: case_0." in failure(result)
    assert not file_of(tmp_path).exists()


def test_a_new_case_is_dealt_to_the_folds_where_the_run_asks_for_it(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    run(tmp_path, instance)
    before = {case: n for n, fold in enumerate(json.loads(file_of(tmp_path).read_text())) for case in fold["val"]}
    results = tmp_path / "data/nnUNet_results" / DATASET / "nnUNetTrainer__nnUNetPlans__2d" / "fold_1"
    results.mkdir(parents=True)
    (results / "checkpoint_final.pth").touch()
    write_tiny_dataset(tmp_path / "data" / "nnUNet_raw", n_cases=13)
    run(tmp_path, instance, "raw_dataset")

    assert "1 case was added: case_12. 1 trained fold belongs to it" in failure(run(tmp_path, instance))

    definitions = graph(project_of(tmp_path))
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    result = dg.materialize(
        assets,
        selection=[dg.AssetKey([DATASET, "splits"])],
        instance=instance,
        resources=definitions.resources,
        run_config={"ops": {f"{DATASET}__splits": {"config": {"on_change": "extend"}}}},
    )

    after = {case: n for n, fold in enumerate(json.loads(file_of(tmp_path).read_text())) for case in fold["val"]}
    assert {case: fold for case, fold in after.items() if case != "case_12"} == before
    assert metadata(result, "splits")["made"] == "extended"
    assert "nnUNetTrainer__nnUNetPlans__2d: fold_1" in str(metadata(result, "splits")["superseded"])


@pytest.mark.parametrize("splits", [{}, {"stratify": True}, {"groups": {"pattern": r"phantom_\d*(?P<group>\d)"}}])
def test_a_generated_cohort_is_split_as_declared(
    project: Path, instance: dg.DagsterInstance, splits: dict[str, Any]
) -> None:
    config = DatasetConfig.model_validate(
        {"dataset": "Dataset900_Phantom", "phantom": PhantomConfig(cases=12), "folds": 3, "splits": splits}
    )
    definitions = graph(Project(project, (config,), ()))

    result = materialized(definitions, "raw_dataset", "splits", folder=project, instance=instance)

    assert result.success
    assert Counter(row["val"] for row in rows(result, "Dataset900_Phantom")) == {4: 3}


def test_the_code_version_follows_the_settings_and_the_files_they_name(tmp_path: Path) -> None:
    def version(**splits: Any) -> str:
        assets = graph(project_of(tmp_path, **splits)).resolve_all_asset_specs()
        return next(str(spec.code_version) for spec in assets if spec.key.path[-1] == "splits")

    (tmp_path / "sites.csv").write_text("case,site\n")
    by_site = {"groups": GroupsConfig(file="sites.csv", column="site")}
    versions = [version(), version(on_new_cases="extend"), version(stratify=True), version(**by_site)]
    assert versions[:2] == ["folds=3", "folds=3"]
    (tmp_path / "sites.csv").write_text("case,site\na,Oslo\n")
    assert len({*versions[1:], version(**by_site)}) == 4
