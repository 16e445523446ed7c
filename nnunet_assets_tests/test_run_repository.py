"""What a run's process loads is what the code server loaded of the same assets, and no more."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._grpc.impl import core_execute_run

from nnunet_assets import run_repository
from nnunet_assets.assets import experiment_definitions
from nnunet_assets.definitions import defs, load_definitions
from nnunet_assets.processes.variables import PROJECT_VARIABLE
from nnunet_assets_tests.project_builders import documents, write_project

DATASET = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset004_Hippocampus, folds: 3}
"""
OTHER = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset005_Prostate}
"""
EXPERIMENT = """
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset004_Hippocampus, configuration: %s}
"""
VARIANT = """
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset004_Hippocampus, configuration: 2d, plans: myPlans, full_model: true, test_set: true,
             folds: [0, 2], owners: [team:imaging], variant: {name: short.1, num_epochs: 5}}
"""
ALONE = """
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset005_Prostate, configuration: 2d}
"""
ALONE_TOO = ("comparison", "ensemble", "fold_model", "splits", "test_predictions")
ENSEMBLE = """
type: nnunet_assets.components.Ensemble
attributes: {dataset: Dataset004_Hippocampus, name: both, members: [3d_lowres, short.1]}
"""
CASCADE = tuple(EXPERIMENT % name for name in ("2d", "3d_lowres", "3d_cascade_fullres"))
EVERYTHING = documents(DATASET, *CASCADE, VARIANT, ENSEMBLE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, {"example/defs.yaml": EVERYTHING, "other/defs.yaml": documents(OTHER, ALONE)})
    (tmp_path / "dg.toml").write_text(
        (Path(__file__).parents[1] / "nnunet_assets/cli/project/templates/dg.toml").read_text()
    )
    monkeypatch.setenv(PROJECT_VARIABLE, str(tmp_path))
    return tmp_path


def run_repository_of(project: Path) -> dg.RepositoryDefinition:
    """Returns what Dagster gets in every process."""
    repository: Any = defs()
    assert isinstance(repository, run_repository.RunRepository)
    return repository


def selections(whole: dg.RepositoryDefinition) -> Iterator[tuple[str, set[dg.AssetKey] | None]]:
    """Yields jobs with what runs select of them: every job, each group, everything, and one asset alone."""
    own = [name for name in whole.job_names if not name.startswith("__")]
    yield from ((name, None) for name in own)
    summaries = {key for key in whole.assets_defs_by_key if key.path[-1] == "cv_summary"}
    yield whole.get_schedule_def("nightly_report").job_name, summaries
    definitions = set(whole.assets_defs_by_key.values())
    groups = {group for asset in definitions for group in asset.group_names_by_key.values()}
    for group in sorted(groups):
        yield (
            "__ASSET_JOB",
            set(chain(*(asset.keys for asset in definitions if group in asset.group_names_by_key.values()))),
        )
    yield from (("__ASSET_JOB", {key}) for key in whole.assets_defs_by_key if key.path[-1] in ALONE_TOO)
    yield "__ASSET_JOB", set(whole.assets_defs_by_key)


def described(job: dg.JobDefinition) -> object:
    """Returns all that Dagster records of a job before it runs it, and what its steps ask of their assets."""
    snapshot = json.loads(dg.serialize_value(job.get_job_snapshot()))
    del snapshot["lineage_snapshot"]  # of the job that holds all assets, which nothing needs in a run
    asked = config_fields(snapshot.pop("config_schema_snapshot")["all_config_snaps_by_key"])
    for mode in snapshot["mode_def_snaps"]:
        del mode["root_config_key"]  # of these
        mode["resource_def_snaps"] = [one for one in mode["resource_def_snaps"] if one["name"] != "io_manager"]
    assets = {}
    for key in sorted(job.asset_layer.selected_asset_keys):
        node = job.asset_layer.get(key)
        before = {parent: job.asset_layer.get(parent).partitions_def for parent in sorted(node.parent_keys)}
        assets[key] = (node.partitions_def, node.code_version, node.check_keys, node.is_executable, before)
    return snapshot, asked, assets


def config_fields(snaps: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Returns what a run may be configured with, but for Dagster's own IO manager, which no step of ours has.

    Whether that may be asks Dagster of the assets before those before a job's own, of which a part knows nothing.
    """
    fields = [field for snap in snaps.values() for field in snap.get("fields") or []]
    return {
        (field["name"], field["description"], field["is_required"], field["default_value_as_json_str"])
        for field in fields
        if field["name"] not in ("io_manager", "base_dir", "resources") and field["default_value_as_json_str"] != "{}"
    }


def test_each_job_is_the_one_that_the_whole_project_has(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_definitions(project).get_repository_def()
    monkeypatch.setattr("nnunet_assets.definitions.load_definitions", lambda root: pytest.fail("everything was loaded"))

    for name, selected in selections(whole):
        expected = whole.get_maybe_subset_job_def(name, asset_selection=selected)
        job = run_repository_of(project).get_maybe_subset_job_def(name, asset_selection=selected)
        assert described(job) == described(expected), (name, selected)


def test_a_run_of_one_experiment_loads_no_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def build(project: Any, config: Any) -> Any:
        loaded.append(config.configuration)
        return experiment_definitions(project, config)

    monkeypatch.setattr(run_repository, "experiment_definitions", build)
    fold = dg.AssetKey(["Dataset004_Hippocampus", "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres", "fold_model"])

    job = run_repository_of(project).get_maybe_subset_job_def("__ASSET_JOB", asset_selection={fold})

    assert job.asset_layer.selected_asset_keys == {fold}
    assert sorted(loaded) == ["3d_cascade_fullres", "3d_lowres"]


def test_whatever_else_is_asked_for_is_that_of_the_whole_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, repository = load_definitions(project).get_repository_def(), run_repository_of(project)

    assert repository.name == whole.name
    assert sorted(repository.job_names) == sorted(whole.job_names)
    assert {sensor.name for sensor in repository.sensor_defs} == {sensor.name for sensor in whole.sensor_defs}
    assert repository.assets_defs_by_key.keys() == whole.assets_defs_by_key.keys()
    # The code server asks for parts of jobs too, when everything is there.
    monkeypatch.setattr(run_repository, "dataset_definitions", lambda project, config: pytest.fail("loaded again"))
    splits = {dg.AssetKey(["Dataset005_Prostate", "splits"])}
    assert repository.get_maybe_subset_job_def("__ASSET_JOB", asset_selection=splits).name == "__ASSET_JOB"


@pytest.mark.parametrize("name", ["__ASSET_JOB", "of_nobody"])
def test_a_job_that_nothing_here_explains_is_left_to_the_whole_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    selected = {dg.AssetKey(["Dataset005_Prostate", "nobody_declared_this"])}
    monkeypatch.setattr("nnunet_assets.definitions.load_definitions", lambda root: pytest.fail("everything was loaded"))

    with pytest.raises(pytest.fail.Exception, match="everything was loaded"):
        run_repository_of(project).get_maybe_subset_job_def(name, asset_selection=selected)


@pytest.mark.parametrize(
    "files",
    [
        {"mine/assets.py": "import dagster as dg\n\n@dg.asset\ndef mine() -> None: ...\n"},
        {"other/defs.yaml": documents(OTHER, ALONE + "post_processing: {assets: [{attributes: {tags: {site: a}}}]}\n")},
    ],
    ids=["Python", "post-processing"],
)
def test_a_project_with_more_than_declarations_is_loaded_whole(project: Path, files: dict[str, str]) -> None:
    write_project(project, files)

    assert isinstance(defs(), dg.Definitions)


def test_a_runs_process_never_loads_everything(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary = frozenset({dg.AssetKey(["Dataset005_Prostate", "nnUNetTrainer__nnUNetPlans__2d", "cv_summary"])})
    whole = load_definitions(project).get_repository_def()
    queued = whole.get_maybe_subset_job_def("__ASSET_JOB", asset_selection=summary)
    monkeypatch.setattr("nnunet_assets.definitions.load_definitions", lambda root: pytest.fail("everything was loaded"))
    repository = ReconstructableRepository.for_module("nnunet_assets.definitions", "defs")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(queued, asset_selection=summary)
        # What the process does that Dagster starts for the run.
        job = repository.get_reconstructable_job(run.job_name)
        events = list(core_execute_run(job, run, instance, inject_env_vars=False))

    (failed,) = [event for event in events if event.is_step_failure]
    assert "No fold" in str(failed.step_failure_data)


def test_the_job_of_all_assets_is_there_for_those_who_look_into_it(project: Path) -> None:
    job = run_repository_of(project).get_maybe_subset_job_def("__ASSET_JOB")

    expected = load_definitions(project).get_repository_def().get_maybe_subset_job_def("__ASSET_JOB")
    assert isinstance(job, dg.JobDefinition)
    assert described(job) == described(expected)
