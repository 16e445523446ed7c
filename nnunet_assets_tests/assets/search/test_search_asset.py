"""The asset `search`; folds and Tune are played."""

from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.declarations.project import read_project
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.workflows.search import run as module
from nnunet_assets_tests.assets.graphs import failure, graph, materialized, metadata
from nnunet_assets_tests.prepared_builders import DATASET
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.workflows.search.played_search import play_in_project

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def searched(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return play_in_project(project, monkeypatch)


def test_it_depends_on_plans_and_splits_and_its_configuration_is_planned(searched: Path) -> None:
    specs = {spec.key: spec for spec in graph(read_project(searched)).resolve_all_asset_specs()}
    key = dg.AssetKey([DATASET, "lr", "nnUNetTrainer__nnUNetPlans__3d_fullres", "search"])
    wanted = {dg.AssetKey([DATASET, "preprocessed_plans"]), dg.AssetKey([DATASET, "splits"])}
    assert {dep.asset_key for dep in specs[key].deps} == wanted
    assert wanted <= specs.keys()


def test_it_is_run_to_its_end_and_shows_its_trials(searched: Path, instance: dg.DagsterInstance) -> None:
    definitions = graph(read_project(searched))
    result = materialized(definitions, "search", folder=searched, instance=instance)
    assert result.success
    shown = metadata(result, "search")
    assert str(shown["headline"]).startswith("2 of 2 trials (2 finished); 4 epochs")
    assert (shown["best_trial"], shown["best_trial_pseudo_dice"], shown["epochs"]) == ("lr_000", 0.5, 4)
    assert "mlflow_run" in shown


def test_a_search_that_cannot_run_says_why(
    searched: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_child", lambda *_, **__: ChildResult(70, "It broke.", ""))
    result = materialized(graph(read_project(searched)), "search", folder=searched, instance=instance)
    assert not result.success
    assert "its driver ended: It broke." in failure(result)
