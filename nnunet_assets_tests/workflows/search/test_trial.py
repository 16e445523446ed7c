"""A trial: what it reports, how it is ended, and which failures are results of it."""

import queue
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.errors import ConfigError, LockingError, StorageError, TrackingError
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search import trial
from nnunet_assets.workflows.search.trial import TrialRun, report_of
from nnunet_assets_tests.fakes.fold_child import Ends
from nnunet_assets_tests.workflows.search.played_search import play_search

POINT = {"initial_lr": 0.1}


def reports(run: TrialRun) -> list[dict[str, Any]]:
    run.start()
    found: list[dict[str, Any]] = []
    while not found or not found[-1].get("done"):
        report = run.next_report(30)
        assert report is not None
        found.append(report)
    run.end()
    return found


def test_a_report_has_the_keys_that_users_of_tune_know_and_ours() -> None:
    values = {"train_loss": 1.0, "val_loss": None, "pseudo_dice_ema": 0.5, "learning_rate": 0.01}
    assert report_of(0, values) == {
        "training_loss": 1.0,
        "pseudo_dice_ema": 0.5,
        "learning_rate": 0.01,
        "epoch": 0,
        "epochs_trained": 1,
    }


def test_a_trial_is_a_fold_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = play_search(tmp_path, monkeypatch)
    found = reports(TrialRun(search.work, 1, POINT))
    assert [one["epochs_trained"] for one in found] == [1, 2, 2]
    assert (found[-1]["ended"], found[-1]["pseudo_dice_ema"]) == ("finished", 0.5)
    config = search.config.trial(1, POINT)
    assert Fold.read(config.identity.place_of(search.settings.roots, "fold_0")).state == "finished"
    ((request, _),) = search.child.started
    assert request.overrides == {"num_epochs": 2, "initial_lr": 0.1}


def test_what_was_trained_before_is_reported_again_and_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = play_search(tmp_path, monkeypatch, Ends(1, ExitCode.STOPPED, "Stopped."))
    first = TrialRun(search.work, 0, POINT)
    with pytest.raises(FoldFailed, match=r"Stopped\."):
        reports(first)
    found = reports(TrialRun(search.work, 0, POINT))
    assert [one["epochs_trained"] for one in found] == [1, 2, 2]
    assert len(search.child.started) == 2


def test_a_trial_that_diverges_fails_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = play_search(tmp_path, monkeypatch, Ends(1, ExitCode.DIVERGED, "The loss is not a number."))
    last = reports(TrialRun(search.work, 0, POINT))[-1]
    assert (last["ended"], last["failure"]) == ("failed", "diverged")
    assert "The loss is not a number." in last["problem"]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (LockingError("No lock."), "crashed"),
        (StorageError("The disk refuses it."), "crashed"),
        (TrackingError("No answer."), "crashed"),
        (ConfigError("No such loss."), "bad_input"),
    ],
)
def test_what_is_wrong_with_the_machine_says_nothing_of_the_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, failure: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    search = play_search(tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "prepared_request", fails)
    last = reports(TrialRun(search.work, 0, POINT))[-1]
    assert (last["ended"], last["failure"], last["problem"]) == ("failed", failure, str(error))


def test_a_trial_that_is_ended_ends_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = play_search(tmp_path, monkeypatch)
    run = TrialRun(search.work, 0, POINT)
    run._is_ended.set()  # before its first epoch
    assert reports(run) == [
        {"training_loss": 1.0, "validation_loss": 1.0, **_rest()},
        {"done": True, "ended": "interrupted"},
    ]


def _rest() -> dict[str, Any]:
    dices = {f"pseudo_dice/{name}": 0.5 for name in ("organ", "lesion")}
    means = {"pseudo_dice_mean": 0.5, "pseudo_dice_ema": 0.5, "epoch_seconds": 0.01, "generalization_gap": 0.0}
    return {**dices, **means, "learning_rate": 0.01, "epoch": 0, "epochs_trained": 1}


def test_a_trial_that_is_finished_is_reported_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = play_search(tmp_path, monkeypatch)
    first, again = (reports(TrialRun(search.work, 0, POINT)) for _ in range(2))
    assert again == first
    assert len(search.child.started) == 1


def test_what_is_no_failure_of_a_training_is_raised_where_tune_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("A mistake.")

    search = play_search(tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "prepared_request", fails)
    run = TrialRun(search.work, 0, POINT)
    assert run.next_report(0.001) is None
    run.start()
    with pytest.raises(ValueError, match=r"A mistake\."):
        run.next_report(30)


def test_what_waits_is_sent_when_the_training_has_ended_and_goes_to_mlflow_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = play_search(tmp_path, monkeypatch)
    sent: list[object] = []
    monkeypatch.setattr(
        trial, "send_what_waits", lambda *found, timeout_seconds: sent.append((*found, timeout_seconds))
    )
    monkeypatch.setattr(trial, "END_SECONDS", 0.01)
    goes_on, destination = threading.Event(), Destination.of(search.settings)
    ended, running = threading.Thread(), threading.Thread(target=goes_on.wait)
    ended.start()
    running.start()
    for thread, where in ((ended, None), (None, destination), (running, destination), (ended, destination)):
        assert sent == []
        TrialRun(replace(search.work, destination=where), 1, POINT, _thread=thread).end()
    goes_on.set()
    running.join()
    folder = search.config.trial(1, POINT).identity.fold_folder(search.settings.roots, "fold_0")
    assert sent == [(search.settings, destination, [folder], 0.01)]


def test_what_is_said_of_a_training_is_in_the_drivers_log_and_a_full_disk_does_not_end_it(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_text("It is driven.\n")
    told = trial._Reporting(queue.Queue(), threading.Event(), log, "Trial 3: ")
    told.say("It begins.")
    told.warn("It is slow.")
    told.poll()
    assert log.read_text() == "It is driven.\nTrial 3: It begins.\nTrial 3: It is slow.\n"
    trial._Reporting(queue.Queue(), threading.Event(), tmp_path / "gone" / "output.log", "").say("It begins.")


@pytest.mark.parametrize(("patience", "problem"), [(60.0, "No such loss."), (-1.0, "Another process trains it.")])
def test_a_fold_that_another_process_trains_is_waited_for_and_no_longer_than_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, problem: str
) -> None:
    ends = iter([FoldFailed("Another process trains it.", ExitCode.OWNED, ""), ConfigError("No such loss.")])

    def ended(*_: object, **__: object) -> None:
        raise next(ends)

    search = play_search(tmp_path, monkeypatch)
    monkeypatch.setattr(trial, "train_from_there", ended)
    monkeypatch.setattr(trial, "OWNED_SECONDS", patience)
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))
    assert reports(TrialRun(search.work, 0, POINT))[-1]["problem"] == problem
