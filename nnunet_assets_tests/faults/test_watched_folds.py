"""Real folds with everything watched: killed and resumed, tracked, shown by TensorBoard itself in a browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.training.panel_files import panel_files
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.dagster_dev import free_port
from nnunet_assets_tests.nnunet.watching.test_watcher import shown, steps
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

N_EPOCHS, N_ITERATIONS = 6, 4
DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: Dataset954_Phantom, folds: 2, phantom: {{cases: 6}}}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset954_Phantom
  configuration: 3d_fullres
  device: cpu
  folds: [0]
  trainer: TRAINER
  checkpoint_minutes: 0.0001
  tensorboard: true
  watch: {{batches: true, histograms_every: 2, panels: 3, panels_every: 2, tb_prefix: trial, comment: Seen by people.}}
  variant:
    name: watched
    num_epochs: {N_EPOCHS}
    num_iterations_per_epoch: {N_ITERATIONS}
    num_val_iterations_per_epoch: 1
"""


class WatchedFold:
    """A fold that was killed in its middle and went on to its end, and where it lies."""

    def __init__(self, project: Path, trainer: str) -> None:
        self.settings = Settings.from_environment(project)
        name = f"{trainer}__nnUNetPlans__3d_fullres"
        self.folder = self.settings.roots.results / "variants/watched/Dataset954_Phantom" / name / "fold_0"
        self.client = connect(Destination.of(self.settings))
        home = self.client.get_experiment_by_name("Dataset954_Phantom").experiment_id
        (self.run,) = self.client.search_runs([home], "tags.`nnunet_assets.run_type` = 'fold'")

    def history(self, metric: str) -> list[int]:
        return sorted(point.step for point in self.client.get_metric_history(self.run.info.run_id, metric))

    def artifacts(self, folder: str | None = None) -> list[str]:
        return sorted(file.path for file in self.client.list_artifacts(self.run.info.run_id, folder))


@pytest.fixture(scope="module", params=["nnUNetTrainer", "nnUNetTrainerSliceWiseBN"])
def fold(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> WatchedFold:
    project = write_project(
        tmp_path_factory.mktemp("watched") / "project", {"defs.yaml": DECLARED.replace("TRAINER", request.param)}
    )
    command = [str(Path(sys.executable).with_name("nnunet-assets")), "train", "954", "3d_fullres", "0"]
    command += ["-tr", request.param, "--variant", "watched", "--json", "--project", str(project)]
    environment = {**os.environ, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}
    results = project / "data" / "nnUNet_results"
    with (project / "first.log").open("w") as log:
        first = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 280
        try:
            while sum(len(list(read_records(file))) for file in results.rglob("journal.jsonl")) < 4:
                assert time.monotonic() < deadline
                assert first.poll() is None, (project / "first.log").read_text()
                time.sleep(0.05)
        finally:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "trained"
    return WatchedFold(project, request.param)


def test_each_epoch_and_iteration_is_in_mlflow_once(fold: WatchedFold) -> None:
    assert fold.history("gradient_norm_mean") == fold.history("train_loss") == list(range(N_EPOCHS))
    assert fold.history("batch/train_loss") == list(range(N_EPOCHS * N_ITERATIONS))
    assert fold.history("batch/gradient_norm") == list(range(N_EPOCHS * N_ITERATIONS))
    assert fold.run.data.tags["mlflow.note.content"] == "Seen by people."


def test_each_picture_is_in_the_folder_and_in_mlflow(fold: WatchedFold) -> None:
    assert list(panel_files(fold.folder)) == [0, 2, 4, 5]
    assert fold.artifacts("panels") == [f"panels/epoch_000{epoch}.png" for epoch in (0, 2, 4, 5)]
    assert "gradient_norm.png" in fold.artifacts()


def test_tensorboards_own_reader_finds_each_once_and_the_final_scores(fold: WatchedFold) -> None:
    folder = fold.folder / ".nnunet_assets" / "tensorboard" / "trial"
    events, batches = shown(folder), shown(folder / "batches")
    assert steps(events.Scalars("train_loss")) == steps(events.Scalars("gradient_norm_max")) == list(range(N_EPOCHS))
    assert steps(batches.Scalars("batch/train_loss")) == list(range(N_EPOCHS * N_ITERATIONS))
    (score,) = events.Scalars("val_dice_mean")
    (end,) = [record for record in read_records(journal_path(fold.folder)) if record.kind == "end"]
    assert score.value == pytest.approx(end.values["val_dice_mean"], rel=1e-5)
    assert len(events.Tags()["images"]) == 3
    assert steps(events.Images(events.Tags()["images"][0])) == [0, 2, 4, 5]


@contextmanager
def tensorboard(folder: Path, log: Path) -> Iterator[str]:
    port = free_port()
    command = [str(Path(sys.executable).with_name("tensorboard")), "--logdir", str(folder), "--port", str(port)]
    command += ["--samples_per_plugin", "scalars=100000,images=100"]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_a_browser_shows_scalars_histograms_images_and_hyperparameters(fold: WatchedFold, tmp_path: Path) -> None:
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright

    pictures = Path(os.environ.get("SCREENSHOTS", str(tmp_path)))
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
    with tensorboard(fold.settings.roots.results, tmp_path / "tensorboard.log") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        _wait_for(page, url)
        for plugin, text in (
            ("timeseries", "gradient_norm_mean"),
            ("images", "panels/"),
            ("histograms", "weights"),
            ("distributions", "gradients"),
            ("hparams", "initial_lr"),
            ("text", "Seen by people."),
        ):
            page.goto(f"{url}/#{plugin}")
            page.get_by_text(text).filter(visible=True).first.wait_for(timeout=60_000)
            page.wait_for_timeout(2000)
            page.screenshot(path=pictures / f"{plugin}.png")
        browser.close()


def _wait_for(page: Any, url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(Exception):  # the server is not there yet
            page.goto(url)
            break
        time.sleep(0.5)
