"""Assets of a user's own on top of the graph: the page's example as it stands, folds alone and together, mistakes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import nnunet_assets
from nnunet_assets.api.values import CVSummary, FoldResult
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.definitions import load_definitions
from nnunet_assets.processes.variables import PROJECT_VARIABLE
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.settings import Settings
from nnunet_assets_tests.assets.graphs import failure
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [
    *MLFLOW_WARNINGS,
    # Dagster's own code.
    pytest.mark.filterwarnings("ignore:Parameter `execution_type` of function `AssetsDefinition"),
    pytest.mark.filterwarnings("ignore:InitResourceContext.(dagster_run|run_id) is deprecated:DeprecationWarning"),
]

PAGE = Path(nnunet_assets.__file__).parents[1] / "docs" / "dagster.md"
OF = Experiment("Dataset004_Hippocampus", "2d")
SUMMARY, FOLDS = dg.AssetKey([*OF.key_prefix, "cv_summary"]), fold_model_key(OF)
DICES = {"fold_0": {"a": 0.9, "b": 0.6}, "fold_2": {"c": 0.5}}


@pytest.fixture
def project(tmp_path: Path, stores_in_memory: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which two folds of five are finished."""
    monkeypatch.setenv(PROJECT_VARIABLE, str(tmp_path))
    write_project(tmp_path, {"hippocampus/defs.yaml": documents(DATASET, EXPERIMENT)})
    template = Path(nnunet_assets.__file__).parent / "cli" / "project" / "templates" / "dg.toml"
    (tmp_path / "dg.toml").write_text(template.read_text())
    roots = Settings.from_environment(tmp_path).roots
    for fold, dices in DICES.items():
        folder = OF.fold_folder(roots, fold)
        write_json(folder.parent / "dataset.json", tiny_json())
        entries = [summary_entry(case, {"1": dice, "2": dice}) for case, dice in dices.items()]
        write_validation_summary(folder, entries)
        commit_fold(folder, replace(build_manifest(folder), details={"validation_cases": sorted(dices)}))
    return tmp_path


def run(definitions: dg.Definitions, *keys: dg.AssetKey, instance: dg.DagsterInstance, partition: Any = None) -> Any:
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=list(keys), instance=instance, raise_on_error=False, partition_key=partition
    )


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def with_own(project: Path, *assets: Any) -> dg.Definitions:
    return dg.Definitions.merge(load_definitions(project), dg.Definitions(assets=assets))


@pytest.mark.skipif(not PAGE.exists(), reason="an installed package has no pages")
def test_the_example_of_the_page_runs_on_a_project(project: Path, instance: dg.DagsterInstance) -> None:
    (name, code) = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    write_project(project, {name.removeprefix("experiments/"): code})
    definitions = load_definitions(project)
    repository = definitions.get_repository_def()

    result = run(definitions, SUMMARY, dg.AssetKey("hard_cases"), instance=instance)

    assert result.success
    assert result.output_for_node("hard_cases") == ["c", "b"]
    checked = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checked["is_good_enough"].passed is False
    assert checked["is_good_enough"].metadata["dice"].value == pytest.approx(2 / 3)
    sensor = repository.get_sensor_def("after_each_summary")
    with dg.build_sensor_context(instance, repository_def=repository) as context:
        assert len(sensor.evaluate_tick(context).run_requests) == 1
    # What is on the disk, and nothing that a step would have pickled.
    assert not [path for path in project.rglob("*") if path.name in ("cv_summary", "fold_model", "fold_0.pickle")]


def test_a_partition_of_a_users_own_gets_its_fold_and_one_without_the_finished_ones(
    project: Path, instance: dg.DagsterInstance
) -> None:
    seen: list[Any] = []
    folds = load_definitions(project).resolve_assets_def(FOLDS).partitions_def

    @dg.asset(ins={"fold": dg.AssetIn(FOLDS)}, partitions_def=folds, io_manager_key="nowhere")
    def alone(fold: FoldResult) -> None:
        seen.append(fold)

    @dg.asset(ins={"folds": dg.AssetIn(FOLDS)}, io_manager_key="nowhere")
    def together(folds: dict[str, FoldResult]) -> None:
        seen.append(folds)

    nowhere = dg.Definitions(resources={"nowhere": dg.InMemoryIOManager()})
    definitions = dg.Definitions.merge(with_own(project, alone, together), nowhere)

    assert run(definitions, alone.key, instance=instance, partition="fold_2").success
    assert run(definitions, together.key, instance=instance).success
    unfinished = run(definitions, alone.key, instance=instance, partition="fold_1")

    one, several = seen
    assert [case.case_id for case in one.cases] == ["c"]
    assert list(several) == ["fold_0", "fold_2"]
    assert several["fold_2"] == one
    assert re.search(r"fold_1 holds no finished fold\. Materialize it first\.", failure(unfinished))


def test_another_annotation_is_a_failure_that_names_both(project: Path, instance: dg.DagsterInstance) -> None:
    @dg.asset(ins={"summary": dg.AssetIn(SUMMARY)})
    def mistaken(summary: FoldResult) -> None: ...

    definitions = with_own(project, mistaken)
    run(definitions, SUMMARY, instance=instance)
    result = run(definitions, mistaken.key, instance=instance)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "FoldResult" in str(event.step_failure_data.error)


def test_a_value_is_loaded_outside_of_any_run(project: Path, instance: dg.DagsterInstance) -> None:
    definitions = load_definitions(project)
    run(definitions, SUMMARY, instance=instance)

    summary = definitions.load_asset_value(SUMMARY, instance=instance)
    fold = definitions.load_asset_value(FOLDS, instance=instance, partition_key="fold_0")

    assert isinstance(summary, CVSummary)
    assert CVSummary is nnunet_assets.CVSummary, "what scripts get"
    assert summary.completed_folds == [0, 2]
    assert fold == summary.folds[0]


def test_an_asset_of_a_users_own_cannot_be_stored_with_it(project: Path, instance: dg.DagsterInstance) -> None:
    @dg.asset(io_manager_key=VALUES_KEY)
    def stored() -> int:
        return 1

    result = run(with_own(project, stored), stored.key, instance=instance)

    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "stored has the IO manager 'nnunet_values', which stores nothing" in str(event.step_failure_data.error)
