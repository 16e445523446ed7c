"""A fold trained again from its MLflow run: what comes back of it, what is refused, and one training for real."""

import json
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.fold.train import train
from nnunet_assets.cli.fold.train_flags import Flags
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import RESULT_FILES, commit_fold
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.trainer.parameters import package_versions
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.reading.recall import recall_fold, unflattened
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import HOST, TRAINING_HASH, flattened, fold_tags
from nnunet_assets.workflows.fold import rerun as rerun_module
from nnunet_assets.workflows.fold.rerun import rerun_of
from nnunet_assets.workflows.fold.train import AskedNow, fold_request
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.prepared_builders import CASES, DATASET, SPLITS, write_prepared
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT", "MLFLOW_TRACKING_URI")
SHORT = {"name": "short", "num_epochs": 5, "initial_lr": 0.005, "hyperparameters": {"ignore_edges": True}, "seed": 3}


def in_variant(declared: Mapping[str, Any] | None) -> VariantConfig | None:
    return VariantConfig.model_validate(declared) if declared else None


@dataclass(frozen=True)
class TrackedProject:
    """A prepared dataset, and a store in memory, in which folds are tracked as if they had been trained."""

    settings: Settings

    def track(self, variant: Mapping[str, Any] | None = None, versions: Mapping[str, str] | None = None) -> str:
        """Tracks fold 0 of an experiment by the real tracker, from its start record on; returns the run's ID."""
        config = ExperimentConfig(dataset=DATASET, configuration="3d_fullres", npz=True, variant=in_variant(variant))
        request = fold_request(self.settings, config, "fold_0", AskedNow())
        folder = config.identity.fold_folder(self.settings.roots, "fold_0")
        params = {
            "experiment": asdict(request.experiment),
            "fold": request.fold,
            "overrides": request.overrides,
            "options": asdict(request.options),
            "trainer": {"num_epochs": request.overrides.get("num_epochs", 1000)},
            "device": {"kind": "cpu", "name": "cpu"},
            "versions": versions or package_versions(),
        }
        tracker = FoldTracker(
            Destination.of(self.settings),
            experiment_name=DATASET,
            fold_folder=folder,
            tags={**fold_tags(request.experiment, "fold_0", request.inputs), HOST: "elsewhere"},
            run_name="fold_0",
            poll_seconds=0.1,
        )
        with tracker:
            append_record(journal_path(folder), "start", {"attempt": str(variant), "params": params})
            report = tracker.finish("FINISHED")
        assert report.is_done, report.problem
        return str(report.run_id)

    def make_run(self, tags: Mapping[str, str]) -> str:
        """Makes a run that no fold made."""
        client = connect(Destination.of(self.settings))
        home = get_or_create_experiment(client, DATASET, Destination.of(self.settings))
        return str(client.create_run(home, tags=dict(tags), run_name="other").info.run_id)

    def finish(self, config: ExperimentConfig) -> None:
        """Makes fold 0 of an experiment one that is finished, with what there is now."""
        request = fold_request(self.settings, config, "fold_0", AskedNow())
        inputs, options = request.inputs, asdict(request.options)
        folder = config.identity.fold_folder(self.settings.roots, "fold_0")
        write_validation_summary(folder, [summary_entry(case, {"1": 0.5}) for case in SPLITS[0]["val"]])
        labels = {"labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
        (folder.parent / "dataset.json").write_text(json.dumps(labels))
        for case in SPLITS[0]["val"]:
            np.savez(folder / "validation" / f"{case}.npz", probabilities=np.zeros((2, 1, 1, 1)))
            (folder / "validation" / f"{case}.pkl").write_bytes(b"properties")
        (folder / ".nnunet_assets").mkdir()
        (folder / ".nnunet_assets" / "request.json").write_text(json.dumps({"inputs": asdict(inputs), "attempt": "a"}))
        (folder / RESULT_FILES[0]).write_bytes(b"weights")
        files = {name: file_sha256(folder / name) for name in RESULT_FILES}
        details = {"validation_cases": SPLITS[0]["val"], "options": options}
        commit_fold(folder, replace(build_manifest(folder, inputs), files=files, details=details))

    def rerun(self, run_id: str, *arguments: str) -> Any:
        named = Flags(**train.make_context("train", ["--from-run", run_id, *arguments]).params).named
        return rerun_of(run_id, named, self.settings, Project(self.settings.project, (), (), has_definitions=False))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["train", *arguments, "--project", str(self.settings.project)])


@pytest.fixture
def tracked(tmp_path: Path, stores_in_memory: None, monkeypatch: pytest.MonkeyPatch) -> TrackedProject:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    roots, _ = write_prepared(tmp_path)
    for name, value in {**roots.environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}.items():
        monkeypatch.setenv(name, value)
    return TrackedProject(Settings.from_environment(tmp_path))


# --- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_artifact_there", [True, False])
def test_a_run_gives_its_fold_back_as_it_was_asked_for(tracked: TrackedProject, is_artifact_there: bool) -> None:
    run_id = tracked.track(SHORT)
    (params,) = tracked.settings.artifacts.rglob("params.json")
    if not is_artifact_there:
        params.unlink()

    recalled = recall_fold(Destination.of(tracked.settings), run_id)

    config = ExperimentConfig(dataset=DATASET, configuration="3d_fullres", npz=True, variant=in_variant(SHORT))
    asked = fold_request(tracked.settings, config, "fold_0", AskedNow())
    assert (recalled.experiment, recalled.fold) == (config.identity, "fold_0")
    assert recalled.overrides == {"num_epochs": 5, "initial_lr": 0.005, "ignore_edges": True}
    assert recalled.options == asdict(asked.options)
    assert recalled.conditions.inputs == asked.inputs
    assert recalled.conditions.versions == package_versions()
    assert (recalled.conditions.device, recalled.conditions.host) == ("cpu", "elsewhere")


def test_what_was_made_flat_is_made_nested_again() -> None:
    params = {
        "overrides": {"a": 1, "b": 1e-05, "c": True, "d": "constant", "e": -2.5, "f": "3 d", "odd/name (x)": 0},
        "options": {"seed": None, "minutes": 10.0, "text": "[no json"},
        "empty": {},
        "patch": [8, 16, None],
    }
    assert unflattened(flattened(params)) == params


def test_the_fold_is_trained_with_the_same_settings_in_a_variant_of_its_own(tracked: TrackedProject) -> None:
    run_id = tracked.track(SHORT)

    rerun = tracked.rerun(run_id)

    name = f"rerun_{run_id[:8]}"
    expected = ExperimentConfig(
        dataset=DATASET, configuration="3d_fullres", npz=True, device="cpu", variant=in_variant({**SHORT, "name": name})
    )
    assert rerun.config == expected
    assert rerun.training_hash == rerun.recalled.conditions.inputs.training_hash
    # And again, from the run of the second training.
    again = tracked.rerun(tracked.track({**SHORT, "name": name}))
    assert again.config.variant.overrides() == expected.variant.overrides()


def test_nnunets_own_settings_become_a_variant_that_says_how_many_epochs_they_were(tracked: TrackedProject) -> None:
    rerun = tracked.rerun(tracked.track())

    assert rerun.config.variant.overrides() == {"num_epochs": 1000}
    assert rerun.config.variant.options() == {}
    assert rerun.training_hash == rerun.recalled.conditions.inputs.training_hash


def test_a_setting_that_is_only_switched_off_comes_back_alone(tracked: TrackedProject) -> None:
    rerun = tracked.rerun(tracked.track({"name": "flat", "enable_deep_supervision": False}))

    assert rerun.config.variant.overrides() == {"enable_deep_supervision": False}
    assert rerun.training_hash == rerun.recalled.conditions.inputs.training_hash


def test_what_does_not_change_the_result_may_be_asked_for_beside_the_run(tracked: TrackedProject) -> None:
    run_id = tracked.track(SHORT)

    config = tracked.rerun(
        run_id, "951", "3d_fullres", "0", "--seed", "3", "--variant", "short", "--tensorboard"
    ).config

    assert config.tensorboard


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["951", "3d_fullres", "1"], "was trained with FOLD fold_0, and the command line says fold_1. Leave it out"),
        (["951", "2d"], "was trained with CONFIGURATION 3d_fullres, and the command line says 2d"),
        (["-tr", "MyTrainer"], "was trained with -tr nnUNetTrainer, and the command line says MyTrainer"),
        (["-p", "MyPlans"], "was trained with -p nnUNetPlans, and the command line says MyPlans"),
        (["--variant", "other"], "was trained with --variant short, and the command line says other"),
        (["--seed", "4"], "was trained with seed 3, and the command line says 4"),
        (["--patience", "4"], "was trained with patience None, and the command line says 4"),
        (["-pretrained_weights", "/a.pth"], "was trained with pretrained_weights None, and the command line says /a"),
    ],
)
def test_what_contradicts_the_run_is_refused(tracked: TrackedProject, arguments: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        tracked.rerun(tracked.track(SHORT), *arguments)


def test_without_a_run_the_fold_has_to_be_named(tracked: TrackedProject) -> None:
    result = tracked.run("951", "3d_fullres")
    assert (result.exit_code, "DATASET, CONFIGURATION and FOLD are needed" in result.stderr) == (1, True)


def test_a_run_that_is_not_there_or_not_of_a_fold_is_refused_in_a_sentence(tracked: TrackedProject) -> None:
    summary = tracked.make_run({"nnunet_assets.run_type": "cv_summary"})
    unfinished = tracked.make_run({"nnunet_assets.run_type": "fold"})
    for run_id, sentence in {
        "0" * 32: "/mlflow.db has no run '00000000000000000000000000000000'. Give the ID of a fold's run",
        tracked.make_run({}): "(other) is not that of a fold of nnunet_assets: it has no tag nnunet_assets.run_type.",
        summary: "is not that of a fold of nnunet_assets: its tag nnunet_assets.run_type is 'cv_summary'.",
        unfinished: "nnunet_assets.fold, nnunet_assets.raw_hash",
    }.items():
        result = tracked.run("--from-run", run_id, "--json")
        assert result.exit_code == 1
        assert sentence in json.loads(result.stdout)["error"]


def test_a_server_that_is_down_is_said_to_be(tracked: TrackedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = tracked.run("--from-run", "0" * 32)
    assert (result.exit_code, "MLflow at http://127.0.0.1:9 is not reachable" in result.stderr) == (1, True)


def test_a_run_of_another_projects_dataset_is_refused(tracked: TrackedProject, tmp_path: Path) -> None:
    run_id = tracked.track(SHORT)
    (tmp_path / "preprocessed" / DATASET).rename(tmp_path / "preprocessed" / "Dataset777_Other")
    result = tracked.run("--from-run", run_id)
    assert result.exit_code == 1
    assert f"The MLflow run {run_id} is of a dataset that this project does not have. There is no dataset" in (
        result.stderr
    )


def test_weights_are_the_same_file_or_refused(tracked: TrackedProject, tmp_path: Path) -> None:
    weights, elsewhere = tmp_path / "weights.pth", tmp_path / "elsewhere.pth"
    weights.write_bytes(b"weights")
    run_id = tracked.track({"name": "pretrained", "pretrained_weights": str(weights)})
    assert tracked.rerun(run_id).config.variant.pretrained_weights == str(weights)

    weights.rename(elsewhere)
    with pytest.raises(FoldError, match=r"weights\.pth, which cannot be read here: No such file or directory"):
        tracked.rerun(run_id)
    moved = tracked.rerun(run_id, "-pretrained_weights", str(elsewhere))
    assert moved.config.variant.pretrained_weights == str(elsewhere)

    weights.write_bytes(b"other weights")
    with pytest.raises(FoldError, match="it is another file"):
        tracked.rerun(run_id)


# --- what differs today -------------------------------------------------------------------------------------------


def test_other_data_is_refused_unless_accepted_while_other_versions_are_only_said(tracked: TrackedProject) -> None:
    run_id = tracked.track(SHORT, versions={**package_versions(), "torch": "1.0.0"})
    splits = [{"train": ["b", "d"], "val": ["a", "c"]}, {"train": ["a", "c"], "val": ["b", "d"]}]
    assert {case for split in splits for case in split["val"]} == set(CASES)

    def shown(*arguments: str) -> tuple[Result, dict[str, Any]]:
        result = tracked.run("--from-run", run_id, "--json", *arguments)
        return result, json.loads(result.stdout)

    tracked.finish(tracked.rerun(run_id).config)
    same, said = shown("--tracker-disable")
    assert same.exit_code == 0, same.stderr
    assert [(change["what"], change["then"], change["is_decisive"]) for change in said["changes"]] == [
        ("torch", "1.0.0", False),
        ("host", "elsewhere", False),
    ]
    assert "Changed since: torch was 1.0.0, is " in same.stderr
    assert "Downloading" not in same.stderr  # MLflow's bar
    assert (said["status"], said["from_run"]) == ("up to date", run_id)
    assert (said["variant"], said["metrics"]["dice"]) == (f"rerun_{run_id[:8]}", 0.5)

    write_splits(tracked.settings.roots.preprocessed / DATASET, splits)
    refused, said = shown()
    assert refused.exit_code == 1
    assert [change["what"] for change in said["changes"]] == ["splits", "torch", "host"]
    assert (said["dataset"], said["fold"], said["status"]) == (DATASET, "fold_0", "failed")
    assert "is not what is there now: splits was " in said["error"]

    accepted, said = shown("--despite-changes")
    assert "holds a training with other splits" in said["error"]  # so far it came
    assert said["error"].endswith("If splits_final.json should not have changed, restore what it was.")
    assert accepted.exit_code == 1


@pytest.mark.parametrize(
    ("kind", "then", "gpus", "device", "now"),
    [
        ("cpu", "cpu", ["NVIDIA A100"], "cpu", "cpu"),
        ("cuda", "NVIDIA A100", ["NVIDIA A100"], "cuda", "NVIDIA A100"),
        ("cuda", "NVIDIA A100", ["NVIDIA H200", "NVIDIA A100"], "cuda", "NVIDIA A100"),
        ("cuda", "NVIDIA V100", ["NVIDIA H200", "NVIDIA A100"], "cuda", "NVIDIA A100 or NVIDIA H200"),
        ("cuda", "NVIDIA V100", [], "auto", "mps" if sys.platform == "darwin" else "cpu"),
        (None, None, ["NVIDIA A100"], "auto", "NVIDIA A100"),
    ],
)
def test_the_device_is_the_runs_where_it_is_here_and_any_other_where_it_is_not(
    tmp_path: Path, *, kind: str | None, then: str | None, gpus: list[str], device: str, now: str
) -> None:
    rows = [f"{index}, GPU-{index}, 1000, 2000" for index in range(len(gpus))]
    models = [f"GPU-{index}, {name}" for index, name in enumerate(gpus)]
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\ncase $1 in\n"
        f"*name) printf '%s' '{chr(10).join(models)}';;\n*) printf '%s' '{chr(10).join(rows)}';;\nesac\n"
    )
    program.chmod(0o755)
    variables = {"PATH": str(tmp_path)}

    assert rerun_module._device(kind, variables) == device
    assert rerun_module._device_name(device, variables, then) == now


def test_this_machine_has_the_name_that_a_run_on_a_server_elsewhere_would_have(tracked: TrackedProject) -> None:
    elsewhere = replace(tracked.settings, tracking_uri="https://mlflow.example.org")
    assert rerun_module._host(tracked.settings) == socket.gethostname()
    assert re.fullmatch(r"host-[0-9a-f]{12}", rerun_module._host(elsewhere))
    assert rerun_module._host(elsewhere) == rerun_module._host(elsewhere)


def test_settings_that_came_back_otherwise_than_they_were_sent_are_noticed(tracked: TrackedProject) -> None:
    run_id = tracked.track(SHORT)
    connect(Destination.of(tracked.settings)).set_tag(run_id, TRAINING_HASH, "another")

    result = tracked.run("--from-run", run_id)

    assert result.exit_code == 1
    assert "is not what is there now: training settings was another, is " in result.stderr


# --- for real -----------------------------------------------------------------------------------------------------

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset953_Phantom, folds: 2, phantom: {cases: 5}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset953_Phantom
  configuration: 3d_fullres
  device: cpu
  tensorboard: true
  variant:
    name: tiny
    seed: 7
    deterministic: true
    num_epochs: 2
    num_iterations_per_epoch: 1
    num_val_iterations_per_epoch: 1
"""


@pytest.mark.faults
def test_a_fold_trained_again_from_its_run_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunet_assets_tests.nnunet.watching.test_tensorboard_logger import shown

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    project = write_project(tmp_path, {"defs.yaml": DECLARED})
    settings = Settings.from_environment(project)

    def run(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(main, ["train", *arguments, "--json", "--project", str(project)])
        assert result.exit_code == 0, result.stderr
        said: dict[str, Any] = json.loads(result.stdout)
        return said

    first = run("953", "3d_fullres", "0", "--variant", "tiny")
    client = connect(Destination.of(settings))
    home = client.get_experiment_by_name("Dataset953_Phantom").experiment_id
    (tracked_run,) = client.search_runs([home], "tags.`nnunet_assets.run_type` = 'fold'")
    again = run("--from-run", tracked_run.info.run_id)

    assert again["changes"] == []
    assert again["status"] == "trained"
    assert again["variant"] == f"rerun_{tracked_run.info.run_id[:8]}"
    assert again["metrics"] == pytest.approx(first["metrics"], rel=1e-3)
    folders = [Path(said["model_path"]) for said in (first, again)]
    losses = [[r.values["train_loss"] for r in read_records(journal_path(f)) if r.kind == "epoch"] for f in folders]
    # Not to the last bit: 1 of 10 such trainings differed from the others by 1e-7 after the first epoch. Another seed
    # gave 1.36 in place of 1.68.
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(losses[0]) == 2
    for folder in folders:
        assert [epoch for epoch, _ in shown(folder)["train_loss"]] == [0, 1]
    experiment = Experiment("Dataset953_Phantom", "3d_fullres", variant=again["variant"])
    assert folders[1] == experiment.fold_folder(settings.roots, "fold_0")
