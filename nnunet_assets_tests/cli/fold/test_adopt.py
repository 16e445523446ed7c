"""`adopt`: folds of plain nnU-Net in MLflow, in Dagster's record and in summaries."""

import json
import math
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_sha256, write_commit
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.nnunet.results.results_folder import unadopted_folds
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold import adopted_fold_run
from nnunet_assets_tests.foreign_fold_builders import (
    BEGIN,
    DATASET,
    write_foreign_fold,
    write_foreign_project,
)
from nnunet_assets_tests.sensors.test_adoption import recorded
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port
from nnunet_assets_tests.without_dagster import run_without_dagster

pytestmark = MLFLOW_WARNINGS

EXPERIMENT = Experiment(DATASET, "3d_fullres")
FIRST = fmean([0.9, 0.7, 0.5])
KEY = dg.AssetKey([*EXPERIMENT.key_prefix, "fold_model"])


@pytest.fixture
def in_database(with_store: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project that declares an experiment of two folds, which plain nnU-Net trained; its store is a database."""
    write_foreign_project(with_store)
    with_store.dagster_home.mkdir()
    monkeypatch.setattr(dg.DagsterInstance, "from_config", lambda _home: instance)
    monkeypatch.setattr(dg.DagsterInstance, "__exit__", lambda *_: None)  # it is opened again and again
    return with_store


@pytest.fixture
def foreign(in_database: Settings, stores_in_memory: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same with its store in memory, and without drawing a curve for each fold that is adopted."""
    monkeypatch.setattr(adopted_fold_run, "learning_curve_png", lambda _records: b"\x89PNG")
    return in_database


def run(settings: Settings, command: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [command, "--project", str(settings.project), *map(str, arguments)])


def test_adopted_folds_are_in_mlflow_in_dagster_and_in_every_summary(
    in_database: Settings, instance: dg.DagsterInstance
) -> None:
    foreign = in_database
    result = run(foreign, "adopt", foreign.roots.results, "--json")

    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)["folds"]
    assert [(row["fold"], row["status"], row["recorded_by_dagster"]) for row in shown] == [
        ("fold_0", "adopted", True),
        ("fold_1", "adopted", True),
    ]
    folders = {fold: EXPERIMENT.fold_folder(foreign.roots, fold) for fold in ("fold_0", "fold_1")}
    assert recorded(instance) == {fold: commit_sha256(folder) for fold, folder in folders.items()}
    client = connect(Destination.of(foreign))
    tracked = client.get_run(shown[0]["mlflow_run"])
    assert (tracked.info.status, tracked.info.start_time) == ("FINISHED", 1000 * BEGIN)
    assert tracked.data.tags["nnunet_assets.adopted"] == "yes"
    assert tracked.data.tags["nnunet_assets.raw_hash"] == "unknown"
    curve = client.get_metric_history(shown[0]["mlflow_run"], "train_loss")
    assert [(point.step, point.value) for point in curve] == [(0, 0.0), (1, -0.5), (2, -1.0)]
    files = {file.path for file in client.list_artifacts(shown[0]["mlflow_run"])}
    assert {"manifest.json", "summary.json", "history.json", "validation_cases.csv", "learning_curve.png"} <= files
    assert not {"splits.json", "environment.txt"} & files  # today's are not that training's
    summaries = [
        json.loads(run(foreign, "summarize", "-e", DATASET, "--json", "--source", source).stdout)
        for source in ("mlflow", "results", "dagster")
    ]
    assert summaries[0] == summaries[1] == summaries[2]
    assert summaries[0]["is_complete"]
    assert summaries[0]["inputs"]["raw_hash"] == "unknown"


def test_adopting_again_makes_no_second_run_and_no_second_materialization(
    foreign: Settings, instance: dg.DagsterInstance
) -> None:
    first, again = (json.loads(run(foreign, "adopt", foreign.roots.results, "--json").stdout) for _ in range(2))
    assert [row["mlflow_run"] for row in again["folds"]] == [row["mlflow_run"] for row in first["folds"]]
    assert {row["status"] for row in again["folds"]} == {"adopted before"}
    assert [row["recorded_by_dagster"] for row in again["folds"]] == [True, True]
    assert "adopted before" in run(foreign, "adopt", foreign.roots.results).stdout
    assert len(instance.fetch_materializations(KEY, limit=10).records) == 2


def test_a_fold_of_several_gpus_that_version_0_1_adopted_is_to_be_adopted_again_and_fits_then_in_every_source(
    foreign: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = [EXPERIMENT.fold_folder(foreign.roots, f"fold_{number}") for number in range(2)]
    for fold, of_the_batch in zip(folds, ({"is_ddp": "True", "batch_size": "1"}, {"batch_size": "2"}), strict=True):
        shown = json.loads((fold / "debug.json").read_text())
        (fold / "debug.json").write_text(json.dumps({**shown, **of_the_batch}))
    with monkeypatch.context() as before:
        for module in ("adoption", "foreign_files"):
            before.setattr(f"nnunet_assets.nnunet.adoption.{module}.is_of_several_processes", lambda _debug: False)
        assert run(foreign, "adopt", foreign.roots.results).exit_code == 0
    for fold in folds:
        own = fold / ".nnunet_assets"
        manifest = json.loads((own / "manifest.json").read_text())
        write_json_atomically(own / "manifest.json", {**manifest, "schema": 1, "scores": None})
        write_commit(own)
        known = json.loads((own / "mlflow_run.json").read_text())
        unknown_then = dict.fromkeys(("scores", "folder", "made_of"))
        write_json_atomically(own / "mlflow_run.json", {**known, **unknown_then})
    for source in ("results", "mlflow"):
        code, _, said = summarized(foreign, source)
        assert code == 1
        assert "batch_size 1 and 2" in said or "batch_size 2 and 1" in said
        assert "adopt them again (`nnunet-assets adopt`)" in said

    assert run(foreign, "adopt", foreign.roots.results).exit_code == 0

    assert [summarized(foreign, source)[0] for source in ("results", "mlflow")] == [0, 0]
    for file in foreign.artifacts.glob("*/artifacts/dataset.json"):
        file.unlink()  # as on a server that gets no files
    assert summarized(foreign, "mlflow")[0] == 0


def summarized(settings: Settings, source: str) -> tuple[int, Any, str]:
    result = run(settings, "summarize", "-e", DATASET, "--json", "--source", source)
    if not result.stdout:
        return result.exit_code, None, result.stderr
    shown = json.loads(result.stdout)
    labels = shown.get("labels") or {}
    return result.exit_code, labels["Anterior"]["dice"]["pooled"]["mean"] if labels else None, result.stderr


def validate_outside(settings: Settings, fold: str, dice: float) -> Path:
    """Gives every case of a fold this Dice, as where plain nnU-Net validated it again; returns its folder."""
    folder = EXPERIMENT.fold_folder(settings.roots, fold)
    content = json.loads((folder / "validation" / "summary.json").read_bytes())
    for entry in content["metric_per_case"]:
        entry["metrics"]["1"] |= {"Dice": dice, "IoU": dice / (2 - dice)}
    (folder / "validation" / "summary.json").write_text(json.dumps(content))
    return folder


def test_a_fold_that_was_validated_again_is_behind_everywhere_until_it_is_adopted_again(
    foreign: Settings, instance: dg.DagsterInstance
) -> None:
    (first, _) = json.loads(run(foreign, "adopt", foreign.roots.results, "--json").stdout)["folds"]
    assert {summarized(foreign, source)[:2] for source in ("mlflow", "results", "dagster")} == {(0, FIRST)}

    validate_outside(foreign, "fold_0", 0.2)

    for source in ("mlflow", "results", "dagster"):
        code, _, said = summarized(foreign, source)
        assert code == 2, source
        assert "fold_0" in said, source
    run(foreign, "adopt", foreign.roots.results, "--tracker-disable")
    assert summarized(foreign, "results")[:2] == summarized(foreign, "dagster")[:2] == (0, fmean([0.2, 0.2, 0.5]))
    code, mean, said = summarized(foreign, "mlflow")
    assert (code, mean) == (2, FIRST)
    assert "is behind: it has another result of fold_0 than" in said
    assert run(foreign, "export", "-e", DATASET, "--format", "csv").exit_code == 2

    assert run(foreign, "sync").stdout.endswith("MLflow has every fold.\n")

    assert {summarized(foreign, source)[:2] for source in ("mlflow", "results", "dagster")} == {
        (0, fmean([0.2, 0.2, 0.5]))
    }
    client = connect(Destination.of(foreign))
    tracked = client.get_run(first["mlflow_run"])
    assert tracked.data.metrics["val_dice/Anterior"] == 0.2
    assert len(client.search_runs([tracked.info.experiment_id], "tags.`nnunet_assets.run_type` = 'fold'")) == 2
    table = (foreign.artifacts / first["mlflow_run"] / "artifacts" / "validation_cases.csv").read_text()
    assert "fold_0,a,,Anterior,0.2," in table


def test_means_alone_are_told_to_be_behind_too_and_a_label_that_is_undefined_now_is_not_left_standing(
    foreign: Settings,
) -> None:
    (first, _) = json.loads(run(foreign, "adopt", foreign.roots.results, "--json").stdout)["folds"]
    for file in foreign.artifacts.glob("*/artifacts/manifest.json"):
        file.unlink()  # as on a server that takes no files
    assert summarized(foreign, "mlflow")[0] == 0
    folder = validate_outside(foreign, "fold_0", float("nan"))
    run(foreign, "adopt", folder, "--tracker-disable")
    code, _, said = summarized(foreign, "mlflow")
    assert (code, "is behind: it has another result of fold_0" in said) == (2, True)

    run(foreign, "sync")

    assert summarized(foreign, "mlflow")[0] == 0
    metrics = connect(Destination.of(foreign)).get_run(first["mlflow_run"]).data.metrics
    assert math.isnan(metrics["val_dice/Anterior"])


def test_a_copy_in_another_variant_that_was_validated_otherwise_has_a_run_of_its_own(foreign: Settings) -> None:
    run(foreign, "adopt", foreign.roots.results)
    model = EXPERIMENT.model_folder(foreign.roots)
    variant = foreign.roots.results / "variants" / "other" / DATASET / EXPERIMENT.name
    shutil.copytree(model, variant)
    content = json.loads((variant / "fold_0" / "validation" / "summary.json").read_bytes())
    content["metric_per_case"][0]["metrics"]["1"] |= {"Dice": 0.1, "IoU": 0.1 / 1.9}
    (variant / "fold_0" / "validation" / "summary.json").write_text(json.dumps(content))

    assert run(foreign, "adopt", variant).exit_code == 0

    group = f"{DATASET}/other/{EXPERIMENT.name}"
    results = [
        run(foreign, "summarize", "-e", DATASET, "--cv-group", name, "--json", "--folds", "0,1", "--source", source)
        for name in (group, f"{DATASET}/{EXPERIMENT.name}")
        for source in ("mlflow", "results")
    ]
    assert [result.exit_code for result in results] == [0, 0, 0, 0], [result.stderr for result in results]
    means = [json.loads(result.stdout)["labels"]["Anterior"]["dice"]["pooled"]["mean"] for result in results]
    assert means[0] == means[1] == pytest.approx((0.1 + 0.7 + 0.5) / 3)
    assert means[2] == means[3] == FIRST


def test_a_fold_that_cannot_be_adopted_ends_with_2_and_holds_up_no_other(foreign: Settings) -> None:
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    (fold / "validation" / "summary.json").write_text("{")
    result = run(foreign, "adopt", foreign.roots.results, "--tracker-disable")
    assert result.exit_code == 2
    assert "is torn" in result.stdout
    assert fold_state(fold.with_name("fold_1")) == "adopted"
    assert run(foreign, "adopt", fold, "--tracker-disable").exit_code == 1


def test_declarations_that_are_wrong_do_not_hide_why_no_fold_could_be_adopted(foreign: Settings) -> None:
    (foreign.project / "experiments" / "one" / "defs.yaml").write_text("type: of.nobody\nattributes: [")
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    (fold / "checkpoint_final.pth").write_bytes(b"torn")
    result = run(foreign, "adopt", fold, "--json")
    assert "checkpoint_final.pth" in json.loads(result.stdout)["refused"][str(fold)]
    assert result.exit_code == 1


def test_a_fold_whose_folder_cannot_be_written_is_refused_in_a_sentence(foreign: Settings) -> None:
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    (fold / ".nnunet_assets").write_text("no folder")
    result = run(foreign, "adopt", foreign.roots.results, "--tracker-disable", "--json")
    assert result.exit_code == 2
    (reason,) = json.loads(result.stdout)["refused"].values()
    assert reason.startswith(f"{fold} cannot be adopted: {fold / '.nnunet_assets'}")
    assert ": Not a directory. Its files must be readable" in reason


def test_without_an_instance_of_dagster_it_says_how_to_have_the_folds_recorded(foreign: Settings) -> None:
    foreign.dagster_home.rmdir()
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    (remark,) = json.loads(run(foreign, "adopt", fold, "--tracker-disable", "--json").stdout)["remarks"]
    assert "Start it with `nnunet-assets dev` or `up`, then adopt again." in remark


def test_adopting_needs_no_dagster_where_the_project_has_no_instance_of_it(foreign: Settings) -> None:
    foreign.dagster_home.rmdir()
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    run(foreign, "adopt", fold, "--tracker-disable")

    command = ["adopt", str(fold), "--tracker-disable", "--project", str(foreign.project)]
    ((code, output),) = run_without_dagster(command)

    assert (code, "adopted before" in output) == (0, True), output


def test_a_fold_that_a_tracked_trainer_made_is_one_to_adopt(foreign: Settings) -> None:
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    append_record(journal_path(fold), "start", {"attempt": "1", "params": {}})
    assert fold in unadopted_folds(fold.parent)


def test_a_server_that_is_down_leaves_the_curves_to_sync(foreign: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    send = send_waiting
    monkeypatch.setattr(adopted_fold_run, "send_waiting", lambda *a, **k: send(*a, **k, timeout_seconds=0.1))
    result = run(foreign, "adopt", EXPERIMENT.fold_folder(foreign.roots, "fold_0"))
    assert result.exit_code == 0, result.output
    assert "is not reachable" in result.stdout
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    synced = run(foreign, "sync", "--json")

    assert synced.exit_code == 0, synced.output
    (shown,) = json.loads(synced.stdout)["folds"]
    tracked = connect(Destination.of(foreign)).get_run(shown["run_id"])
    assert (tracked.info.status, "val_dice_mean" in tracked.data.metrics) == ("FINISHED", True)


def test_what_lies_elsewhere_is_adopted_and_the_project_is_said_not_to_see_it(
    foreign: Settings, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_foreign_fold(tmp_path / "cluster", 0, {"a": (0.9, 0.5)})
    result = run(foreign, "adopt", tmp_path / "cluster", "--tracker-disable")
    assert result.exit_code == 0, result.output
    assert "where the project's assets look" in result.stdout
    assert recorded(instance) == {}
    alone = run(foreign, "summarize", "-e", DATASET, "--results", tmp_path / "cluster", "--folds", "0")
    assert (alone.exit_code, "hold-out (fold_0): Dice 0.700" in alone.stdout) == (0, True)


def test_of_what_was_adopted_elsewhere_the_project_knows_whether_mlflow_is_behind(
    foreign: Settings, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "cluster"
    shutil.move(foreign.roots.results, elsewhere)
    foreign.roots.results.mkdir()
    assert run(foreign, "adopt", elsewhere).exit_code == 0
    assert summarized(foreign, "mlflow")[:2] == (0, FIRST)
    fold = elsewhere / DATASET / EXPERIMENT.name / "fold_0"
    content = (fold / "validation" / "summary.json").read_text()
    (fold / "validation" / "summary.json").write_text(content.replace("0.9", "0.8"))
    assert "was changed outside" in summarized(foreign, "mlflow")[2]
    run(foreign, "adopt", elsewhere, "--tracker-disable")
    code, _, said = summarized(foreign, "mlflow")
    assert (code, "is behind" in said) == (2, True)

    assert run(foreign, "sync").exit_code == 0

    assert summarized(foreign, "mlflow")[:2] == (0, pytest.approx(fmean([0.8, 0.7, 0.5])))


def test_a_folder_without_such_a_fold_is_an_error(tracked: Settings) -> None:
    result = run(tracked, "adopt", tracked.roots.results)
    assert result.exit_code == 1
    assert "holds no fold that something else trained (3 folds looked at)" in result.stderr
