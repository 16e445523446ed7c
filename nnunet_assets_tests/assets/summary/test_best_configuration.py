"""The asset `best_configuration`, on summaries without a training."""

import json
from pathlib import Path

import dagster as dg

from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import check, declared, graph, materialized, metadata
from nnunet_assets_tests.comparison_builders import DATASET, LONG, PLAIN, roots_of, summarized
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

GRAPH = graph(declared([DatasetConfig(dataset=DATASET, folds=2)], [PLAIN, LONG]))
NAMES = [one.identity.name_in_dataset for one in (PLAIN, LONG)]


def chosen(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *(names or ("best_configuration",)), folder=project, instance=instance)


def test_the_choice_is_shown_written_tracked_and_on_the_page(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)

    result = chosen(project, instance, "comparison", "best_configuration", "dataset_report")

    shown = metadata(result, "best_configuration")
    assert shown["chosen"] == NAMES[1]
    assert str(shown["headline"]).startswith(f"{NAMES[1]}, of 2 candidates on 8 cases; no expected Dice: 2 folds")
    assert "has the best mean Dice" in str(shown["reasons"])
    assert check(result, "chooses_among_every_experiment").passed
    folder = comparison_folder(roots_of(project), DATASET)
    assert json.loads((folder / "best_configuration.json").read_text())["chosen"] == NAMES[1]
    client = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "data" / "mlartifacts"))
    experiment = client.get_experiment_by_name(DATASET)
    (run,) = client.search_runs([experiment.experiment_id], "tags.`nnunet_assets.run_type` = 'best_configuration'")
    assert run.data.tags["nnunet_assets.chosen"] == NAMES[1]
    assert (run.data.metrics["candidates"], run.data.metrics["cases"]) == (2, 8)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"best_configuration.json", "best_configuration.csv", "postprocessing.json"} <= files
    page = (folder / "dataset_report.html").read_text()
    assert "The configuration to take" in page
    assert f"{NAMES[1]}</b>, of 2 candidates on 8 cases" in page.replace("<wbr>", "")


def test_while_no_summary_is_complete_it_is_no_failure(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0, n_folds=1)

    result = chosen(project, instance, "comparison", "best_configuration", "dataset_report")

    assert result.success
    assert str(metadata(result, "best_configuration")["headline"]).startswith("Nothing to choose from yet.")
    assert not check(result, "chooses_among_every_experiment").passed
    page = (comparison_folder(roots_of(project), DATASET) / "dataset_report.html").read_text()
    assert "The configuration to take" not in page


def test_who_is_left_out_is_named_by_a_check(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)

    found = check(chosen(project, instance), "chooses_among_every_experiment")

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(found.description).startswith(f"{NAMES[1]}: it has no summary yet")


def test_a_choice_from_older_summaries_is_said_on_the_page(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)
    chosen(project, instance)
    summarized(project, PLAIN, 0.01)

    chosen(project, instance, "comparison", "dataset_report")

    page = (comparison_folder(roots_of(project), DATASET) / "dataset_report.html").read_text()
    assert f"Chosen before the summary of {NAMES[0]} was made" in page
