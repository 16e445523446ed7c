"""The assets `comparison` and `dataset_report`, on summaries without a training."""

import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.assets.graph import comparison_keys
from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import check, declared, graph, materialized, metadata
from nnunet_assets_tests.comparison_builders import DATASET, FILES, LONG, PLAIN, SEED_7, roots_of, summarized
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

EXPERIMENTS = [PLAIN, SEED_7, LONG]
GRAPH = graph(declared([DatasetConfig(dataset=DATASET, folds=2)], EXPERIMENTS))


def compared(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *(names or ("comparison",)), folder=project, instance=instance)


def comparison_run(project: Path) -> tuple[Any, list[str]]:
    """Returns the comparison's run in MLflow, and the names of its files."""
    client = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "data" / "mlartifacts"))
    experiment = client.get_experiment_by_name(DATASET)
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id], "tags.`nnunet_assets.run_type` = 'comparison'")
    return run, sorted(file.path for file in client.list_artifacts(run.info.run_id))


def test_three_experiments_are_compared_with_the_noise_of_two_seeds(
    project: Path, instance: dg.DagsterInstance
) -> None:
    for config, shift in zip(EXPERIMENTS, (0.0, 0.001, 0.1), strict=True):
        summarized(project, config, shift)

    result = compared(project, instance)

    name = "nnUNetTrainer__nnUNetPlans__2d"
    shown = metadata(result, "comparison")
    assert shown["headline"] == f"3 experiments on 8 shared cases: long/{name} is first in Dice (0.810)"
    assert check(result, "compares_every_experiment").passed
    folder = comparison_folder(roots_of(project), DATASET)
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == FILES
    written = json.loads((folder / "comparison.json").read_text())
    assert written["repeats"] == [[name, f"seed7/{name}"]]
    pairs = [(one["left"], one["right"], one["is_within_noise"]) for one in written["differences"] if not one["label"]]
    assert pairs[:2] == [(name, f"long/{name}", False), (f"seed7/{name}", f"long/{name}", False)]


def test_table_figure_and_page_are_shown_and_in_one_run_in_mlflow(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)
    page = LONG.identity.summary_folder(roots_of(project)) / "cv_report.html"
    page.write_text("the experiment's own page")

    result = compared(project, instance, "comparison", "dataset_report")

    shown = metadata(result, "comparison")
    assert "| long | **0.810 ± " in str(shown["table"])
    assert str(shown["figure"]).startswith("![Differences between the experiments in mean Dice")
    assert str(shown["mlflow_run"]) == str(metadata(result, "dataset_report")["mlflow_run"])
    run, files = comparison_run(project)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Dataset001_Tiny comparison")
    assert run.data.metrics == {"experiments_compared": 2, "cases": 8}
    assert files == sorted({*FILES, "dataset_report.html"})
    folder = comparison_folder(roots_of(project), DATASET)
    report = (folder / "dataset_report.html").read_text()
    (link,) = re.findall(r'href="([^"]+)"', report)
    assert (folder / link).resolve() == page.resolve()
    assert "<b>2 of 3</b>experiments compared" in report
    assert "seed7/nnUNetTrainer__nnUNetPlans__2d" in report


def test_a_tracking_server_that_does_not_answer_costs_a_warning_and_nothing_else(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    result = compared(project, instance, "comparison", "dataset_report")

    assert result.success
    for name in ("comparison", "dataset_report"):
        assert "is not reachable" in str(metadata(result, name)["mlflow_problem"])
    assert (comparison_folder(roots_of(project), DATASET) / "dataset_report.html").exists()


def test_a_dataset_with_one_experiment_has_no_comparison() -> None:
    alone = graph(declared([DatasetConfig(dataset=DATASET)], [PLAIN]))
    keys = {spec.key for spec in alone.resolve_all_asset_specs()}
    assert not keys & {*comparison_keys(DATASET)}


def test_experiments_that_are_left_out_are_named_by_a_check(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, SEED_7, 0.0, n_folds=1)

    result = compared(project, instance)

    assert result.success
    found = check(result, "compares_every_experiment")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert [line.partition(":")[0] for line in str(found.description).splitlines()] == [
        one.identity.name_in_dataset for one in EXPERIMENTS
    ]
