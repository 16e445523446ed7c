"""The main job on the real thing: plain `dagster dev`, its daemon and sensors, real trainings, MLflow, a browser."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.assets.fold.fold_backfill import FoldBackfills
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.declarations.project import read_project
from nnunet_assets.jobs import experiment_job_names, preparation_keys
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD
from nnunet_assets_tests.dagster_dev import dagster_dev
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

FOLDS = ("fold_0", "fold_1")
EXPERIMENT = Experiment(DATASET, "2d", variant="tiny")
FOLD_MODEL = (*EXPERIMENT.key_prefix, "fold_model")
LONG = Experiment(DATASET, "2d", variant="long")
LONG_FOLD_MODEL = (*LONG.key_prefix, "fold_model")

EXPERIMENTS = [
    {**variant("tiny", num_epochs=3, num_iterations_per_epoch=2), "configuration": "2d", "owners": ["team:phantom"]},
    {**variant("long", num_iterations_per_epoch=1), "configuration": "2d", "folds": [0]},
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return phantom_project(tmp_path_factory.mktemp("end_to_end") / "project", EXPERIMENTS)


@pytest.fixture(scope="module")
def settings(project: Any) -> Any:
    return Settings.from_environment(project, {})


@pytest.fixture(scope="module")
def dev(project: Any) -> Iterator[Any]:
    """`dagster dev`, asked for both folds before it begins: its daemon looks for backfills then, and every 30 s."""
    declared = read_project(project)
    ensure_instance(project)
    with open_instance(project) as instance:
        backfills = FoldBackfills(instance, EXPERIMENT, experiment_job_names(declared.experiments[0])[0])
        backfills.begin(FOLDS, preparation_keys(declared, DATASET))
    with dagster_dev(project) as running:
        yield running


@pytest.fixture(scope="module")
def trained(dev: Any, settings: Settings) -> Any:
    """Both folds, by a backfill that the daemon runs; the summary is left to the sensor."""
    folders = [EXPERIMENT.fold_folder(settings.roots, fold) for fold in FOLDS]
    dev.wait_for("the end of both folds", lambda: all(read_committed(folder) for folder in folders), 400)
    return folders


def _summary(settings: Settings) -> Any:
    path = EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_a_backfill_trains_every_fold_and_the_sensor_alone_completes_the_summary(
    dev: Any, trained: Any, settings: Settings
) -> None:
    dev.wait_for("a complete summary", lambda: (_summary(settings) or {}).get("is_complete"))
    tables = EXPERIMENT.summary_folder(settings.roots) / "cv_table.tex"
    dev.wait_for("the tables", lambda: tables.exists() and r"\toprule" in tables.read_text())
    refreshes = dev.runs(dagster__sensor_name="refresh_cv_summaries")
    assert 1 <= len(refreshes) <= 2
    trainings = [run for run in dev.runs() if "dagster/partition" in run["tags"]]
    assert sorted(run["tags"]["dagster/partition"] for run in trainings) == ["fold_0", "fold_1"]


def test_mlflow_has_every_epoch_of_every_fold_once(trained: Any, settings: Settings) -> None:
    client = connect(Destination.of(settings))
    experiment = client.get_experiment_by_name(DATASET)
    runs = client.search_runs([experiment.experiment_id], "tags.`nnunet_assets.run_type` = 'fold'")
    assert sorted(run.data.tags["nnunet_assets.fold"] for run in runs) == ["fold_0", "fold_1"]
    for run in runs:
        assert run.info.status == "FINISHED"
        for series in ("train_loss", "val_loss", "pseudo_dice_mean", "pseudo_dice/organ", "learning_rate"):
            assert [point.step for point in client.get_metric_history(run.info.run_id, series)] == [0, 1, 2]
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"learning_curve.png", "plans.json", "manifest.json"} <= files


def test_the_fold_page_shows_dice_device_curve_and_link(dev: Any, trained: Any) -> None:
    answer = dev.query(
        "query($k: AssetKeyInput!) { assetOrError(assetKey: $k) { ... on Asset { assetMaterializations(limit: 2) {"
        " partition metadataEntries { __typename label ... on FloatMetadataEntry { floatValue }"
        " ... on MarkdownMetadataEntry { mdStr } ... on UrlMetadataEntry { url } ... on TextMetadataEntry { text }"
        " ... on IntMetadataEntry { intValue } } } } } }",
        k={"path": list(FOLD_MODEL)},
    )
    for event in answer["assetOrError"]["assetMaterializations"]:
        entries = {entry["label"]: entry for entry in event["metadataEntries"]}
        assert 0 <= entries["dice"]["floatValue"] <= 1
        assert entries["device"]["text"] == "cpu"
        assert entries["epochs"]["intValue"] == 3
        assert entries["learning_curve"]["mdStr"].startswith("![learning curve](data:image/png;base64,")
        assert "/runs/" in entries["mlflow_run"]["url"]
        assert entries["mlflow_records_waiting"]["intValue"] == 0


def test_the_log_of_the_run_says_how_far_the_training_is(dev: Any, trained: Any) -> None:
    run = dev.runs(dagster__partition="fold_0")[0]
    events = dev.query(
        "query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {"
        " ... on LogMessageEvent { message } } } } }",
        id=run["runId"],
    )
    messages = [event.get("message", "") for event in events["logsForRun"]["events"]]
    assert any("Epoch 1 (2 of 3)" in message and "left" in message for message in messages)


# Without Dagster's daemon a finished fold is asked for again in `training.test_fold_process` and `cli.fold.test_train`.
@pytest.mark.faults
def test_a_finished_fold_materialized_again_is_adopted(dev: Any, trained: Any, settings: Settings) -> None:
    checkpoint = trained[1] / "checkpoint_final.pth"
    before = checkpoint.stat().st_mtime_ns
    n_before = len(dev.runs(dagster__partition="fold_1"))
    dev.backfill(FOLD_MODEL, partitions=["fold_1"])
    dev.wait_for("a second run", lambda: len(dev.runs(dagster__partition="fold_1")) > n_before)
    dev.wait_for("its success", lambda: dev.runs(dagster__partition="fold_1")[0]["status"] == "SUCCESS")
    assert checkpoint.stat().st_mtime_ns == before


def test_figures_and_report_follow_the_summary(dev: Any, trained: Any, settings: Settings) -> None:
    folder = EXPERIMENT.summary_folder(settings.roots)
    dev.wait_for("the report of both folds", lambda: "2 of 2" in _text(folder / "cv_report.html"))
    made = {path.name for path in (folder / "figures").iterdir()}
    assert {"learning_curves.svg", "dice_by_label.png", "cases.svg"} <= made
    # Phantom cases are shown with their outlines, not passed over.
    assert "worst 1: Dice" in _text(folder / "figures" / "cases.svg")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_shows_the_assets_and_the_page_of_a_fold(dev: Any, trained: Any, tmp_path: Path) -> None:
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.goto(f"{dev.url}/asset-groups")
        page.get_by_text(DATASET).first.wait_for()
        # Dagster asks for no e-mail address.
        assert not page.get_by_role("button", name="Skip").count()
        # Of the graph Dagster draws what is in sight; the catalog shows all of a folder.
        of_dataset = ("case_list", "splits", "preprocessed_plans", "comparison", "best_configuration", "dataset_report")
        of_experiment = ("fold_model", "cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")
        for folder, names in (((DATASET,), of_dataset), (EXPERIMENT.key_prefix, of_experiment)):
            page.goto(f"{dev.url}/assets/{'/'.join(folder)}")
            for name in names:
                page.get_by_text(name, exact=True).first.wait_for()
        page.goto(f"{dev.url}/assets/{'/'.join(FOLD_MODEL)}?partition=fold_0&view=partitions")
        page.get_by_text("learning_curve").first.wait_for()
        page.screenshot(path=tmp_path / "fold.png")
        browser.close()


def test_a_terminated_fold_leaves_no_process_and_a_killed_run(dev: Any, trained: Any, settings: Settings) -> None:
    folder = LONG.fold_folder(settings.roots, "fold_0")
    run_id = dev.launch(LONG_FOLD_MODEL, partition="fold_0")
    dev.wait_for("its first epoch", lambda: _epochs(folder))
    dev.wait_for("its MLflow run", lambda: _mlflow_status(settings, LONG) == "RUNNING")
    children = _processes_of(folder)
    assert children
    dev.query("mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run_id)
    dev.wait_for("its end", lambda: dev.status(run_id) == "CANCELED", 60)
    assert psutil.wait_procs(children, 10)[1] == []
    assert _processes_of(folder) == []
    assert read_committed(folder) is None
    assert _mlflow_status(settings, LONG) == "KILLED"


@pytest.mark.faults
def test_a_fold_whose_run_worker_is_killed_dies_with_it_and_is_to_start_once_more(
    dev: Any, trained: Any, settings: Settings
) -> None:
    folder = LONG.fold_folder(settings.roots, "fold_0")
    n_epochs = len(_epochs(folder))
    backfill = dev.backfill(LONG_FOLD_MODEL, partitions=["fold_0"])
    dev.wait_for("one more epoch", lambda: len(_epochs(folder)) > n_epochs)
    dev.wait_for("its MLflow run", lambda: _mlflow_status(settings, LONG) == "RUNNING")
    children = _processes_of(folder)
    worker = children[0].parent()
    worker.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(children, 10)[1] == []
    retry, dead = dev.wait_for("its retry", lambda: _two(dev.runs(dagster__backfill=backfill)), 60)
    assert (dead["status"], retry["tags"]["dagster/parent_run_id"]) == ("FAILURE", dead["runId"])
    # It waits for the slot of the dead run, and would train for hours.
    dev.query("mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=retry["runId"])
    dev.wait_for("the end of the MLflow run", lambda: _mlflow_status(settings, LONG) == "FAILED", 60)


def _text(path: Any) -> Any:
    return path.read_text() if path.exists() else ""


def _two(runs: Any) -> Any:
    return runs if len(runs) == 2 else None


def _epochs(folder: Any) -> Any:
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def _processes_of(folder: Any) -> Any:
    """Returns the fold's process and its workers, the oldest first."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder / ".nnunet_assets") in (process.info["cmdline"] or []):
            found += [process, *process.children(recursive=True)]
    return sorted(set(found), key=lambda process: process.create_time())


def _mlflow_status(settings: Settings, experiment: Experiment) -> Any:
    client = connect(Destination.of(settings))
    ids = [found.experiment_id for found in client.search_experiments()]
    query = f"tags.`nnunet_assets.experiment` = '{'/'.join(experiment.key_prefix)}'"
    runs = [run for run in client.search_runs(ids, query) if FOLD in run.data.tags]
    assert len(runs) <= 1
    return runs[0].info.status if runs else None  # an epoch is in the journal first
