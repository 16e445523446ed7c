"""The command `backfill`, with an instance in which a test does what the daemon would."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.utils import make_new_run_id

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.cli.main import main
from nnunet_assets.cli.project import backfill
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.project_folder import running_daemons
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import Settings
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

KEY = fold_model_key(Experiment("Dataset004_Hippocampus", "2d"))
Step = dict[str, dg.DagsterRunStatus]
STARTED, SUCCESS, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@dataclass
class Daemon:
    """Does, each time the command waits, the next of its steps: fold to what its newest run becomes, or an error."""

    project: Path
    steps: list[Step | BaseException] = field(default_factory=list)
    is_there: bool = True

    def backfills(self) -> Sequence[Any]:
        with open_instance(self.project) as instance:
            return instance.get_backfills()

    def next_step(self, _seconds: float) -> None:
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        with open_instance(self.project) as instance:
            for fold, status in step.items():
                run = dg.DagsterRun(
                    "__ASSET_JOB",
                    run_id=make_new_run_id(),
                    status=status,
                    asset_selection=frozenset({KEY}),
                    tags={"dagster/partition": fold},
                )
                instance.add_run(run)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    write_project(tmp_path, {"a/defs.yaml": documents(DATASET, EXPERIMENT)})
    ensure_instance(tmp_path)
    fake = Daemon(tmp_path)
    monkeypatch.setattr(running_daemons, "gives_signs", lambda _project: fake.is_there)
    monkeypatch.setattr(time, "sleep", fake.next_step)
    before = signal.getsignal(signal.SIGINT)
    yield fake
    signal.signal(signal.SIGINT, before)


def run(daemon: Daemon, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["backfill", *arguments, "--project", str(daemon.project)])


def test_folds_are_begun_once_and_followed_to_their_end(daemon: Daemon) -> None:
    daemon.steps = [{"fold_0": STARTED, "fold_1": SUCCESS}, {"fold_0": SUCCESS}]

    result = run(daemon, "--folds", "0,1")

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "Begun: the data is prepared first, then fold_0, fold_1 of Dataset004_Hippocampus / "
        "nnUNetTrainer__nnUNetPlans__2d.",
        "fold_0: is asked for; the daemon begins within half a minute",
        "fold_1: is asked for; the daemon begins within half a minute",
        "fold_0: starts, or waits for a device",
        "fold_1: finished",
        "fold_0: finished",
    ]
    (begun,) = daemon.backfills()
    assert sorted(key.path[-1] for key in begun.asset_selection) == [
        "case_list",
        "fold_model",
        "preprocessed_plans",
        "raw_dataset",
        "splits",
    ]


def test_ctrl_c_leaves_them_and_the_same_command_finds_them_again(daemon: Daemon) -> None:
    daemon.steps = [{"fold_0": STARTED}, KeyboardInterrupt()]
    left = run(daemon, "--folds", "0")
    daemon.steps = [{"fold_0": FAILURE}]
    found = run(daemon, "4", "--folds", "0")

    again = "nnunet-assets backfill --folds 0"
    assert left.exit_code == 130
    assert left.stdout.endswith(f"Left; the folds go on. Follow them: {again}. End them: {again} --cancel\n")
    assert found.stdout.startswith("At work already: fold_0 of Dataset004_Hippocampus / ")
    assert found.stdout.splitlines()[-1].startswith("fold_0: failed.")
    assert found.exit_code == 1
    assert len(daemon.backfills()) == 1


def test_a_continuation_begins_nothing_before_what_it_continues_is_finished(daemon: Daemon) -> None:
    longer = f"{EXPERIMENT}  variant: {{name: longer, continues: default, num_epochs: 2000}}\n"
    (daemon.project / "experiments" / "a" / "defs.yaml").write_text(documents(DATASET, EXPERIMENT, longer))

    result = run(daemon, "longer", "--folds", "0")

    assert result.exit_code == 1
    said = "fold_0 is to be continued and is not finished (it was not begun). Train it first: `nnunet-assets train Data"
    assert said in result.stderr
    assert not daemon.backfills()


def test_only_what_is_not_at_work_is_begun(daemon: Daemon) -> None:
    assert run(daemon, "--folds", "1", "--detach").exit_code == 0
    result = run(daemon, "--folds", "0,1,2", "--detach")

    assert result.stdout.splitlines()[:2] == [
        "At work already: fold_1 of Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__2d.",
        "Begun: the data is prepared first, then fold_0, fold_2 of Dataset004_Hippocampus / "
        "nnUNetTrainer__nnUNetPlans__2d.",
    ]
    assert len(daemon.backfills()) == 2


def test_folds_are_trained_anew_where_that_is_asked_for_and_none_is_at_work(daemon: Daemon) -> None:
    begun = run(daemon, "--folds", "0,1", "--retrain", "--detach")
    again = run(daemon, "--folds", "1,2", "--retrain", "--detach")
    found = run(daemon, "--folds", "1,2", "--detach")
    both = run(daemon, "--retrain", "--cancel")

    assert begun.exit_code == 0, begun.output
    # What follows them must not train them once more.
    assert begun.stdout.splitlines()[-1] == "Follow them: nnunet-assets backfill --folds 0,1"
    assert again.exit_code == 1
    assert "fold_1 of Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__2d is at work already" in again.stderr
    assert found.exit_code == 0, found.output
    assert (both.exit_code, "give one of the two" in both.stderr) == (1, True)
    plain, anew = sorted((one.run_config for one in daemon.backfills()), key=bool)
    asset = "Dataset004_Hippocampus__nnUNetTrainer__nnUNetPlans__2d__fold_model"
    assert (plain, anew) == ({}, {"ops": {asset: {"config": {"retrain": True}}}})


def test_a_finished_fold_that_is_to_be_trained_anew_is_not_taken_for_the_new_one(daemon: Daemon) -> None:
    experiment = Experiment("Dataset004_Hippocampus", "2d")
    folder = write_fold(Settings.from_environment(daemon.project, {}).roots, experiment, "fold_0", {"a": HIGHER})
    commit = folder / ".nnunet_assets" / "COMMIT"
    os.utime(commit, (time.time() - 60, time.time() - 60))
    daemon.steps = [{"fold_0": STARTED}, KeyboardInterrupt()]
    shown = run(daemon, "--folds", "0", "--retrain").stdout
    assert "fold_0: starts, or waits for a device\n" in shown
    os.utime(commit)
    daemon.steps = [KeyboardInterrupt()]
    assert "fold_0: is there; its run ends" in run(daemon, "--folds", "0").stdout


def test_what_is_canceled_is_incomplete(daemon: Daemon) -> None:
    assert run(daemon, "--cancel").stdout.startswith("Nothing runs of fold_0, fold_1,")
    run(daemon, "--folds", "0", "--detach")

    canceled = run(daemon, "--folds", "0", "--cancel")

    assert canceled.exit_code == 0
    assert canceled.stdout.startswith("The daemon ends fold_0 of Dataset004_Hippocampus")
    assert [one.status for one in daemon.backfills()] == [BulkActionStatus.CANCELING]
    daemon.steps = [{"fold_0": dg.DagsterRunStatus.CANCELED}]
    followed = run(daemon, "--folds", "0")
    assert followed.exit_code == 2
    assert followed.stdout.splitlines()[-1].startswith("fold_0: canceled; it goes on from its last checkpoint when")


def test_without_a_daemon_it_says_what_to_type_and_begins_nothing(daemon: Daemon) -> None:
    daemon.is_there = False
    result = run(daemon, "4", "2d")

    assert result.exit_code == 1
    assert result.stderr == (
        f"No Dagster daemon works for {daemon.project}, and without one nothing starts. Start it, then type the "
        f"command again: nnunet-assets up {daemon.project} && nnunet-assets backfill 4 2d\n"
    )
    assert daemon.backfills() == []


def test_a_daemon_that_ends_meanwhile_is_said_once(daemon: Daemon) -> None:
    daemon.steps = [{"fold_0": STARTED}, {}, {"fold_0": SUCCESS}]
    begin = backfill._begin

    def end_after_it_began(*given: Any, **more: Any) -> Any:
        begun = begin(*given, **more)
        daemon.is_there = False
        return begun

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backfill, "_begin", end_after_it_began)
        result = run(daemon, "--folds", "0")

    assert result.exit_code == 0
    assert result.stderr.count("No Dagster daemon works any more: what trains goes on, and nothing else starts.") == 1


def test_a_fold_that_the_split_lacks_is_refused_before_anything_is_begun(daemon: Daemon) -> None:
    folder = daemon.project / "data" / "nnUNet_preprocessed" / "Dataset004_Hippocampus"
    folder.mkdir(parents=True)
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"]}] * 2))

    result = run(daemon, "--folds", "1,4")

    assert result.exit_code == 1
    assert "fold_4" in result.stderr
    assert daemon.backfills() == []
