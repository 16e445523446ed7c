"""A search run from its beginning, gone on with, refused and extended; folds and Tune are played."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.trial_files import Trial, write_record
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, SearchError
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.workflows.search import run as module
from nnunet_assets.workflows.search import tune_driver
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.run import TrialLines, run_search, search_named, trial_in_words
from nnunet_assets.workflows.search.status import search_status
from nnunet_assets.workflows.search.tune_driver import DriverRequest
from nnunet_assets_tests.fakes.fold_child import Ends
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.search_builders import begun_book, project_with_search
from nnunet_assets_tests.workflows.search.played_search import PlayedSearch, drive_in_turn, play_search


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayedSearch:
    played = play_search(tmp_path, monkeypatch)
    monkeypatch.setattr(module, "run_child", drive_in_turn(played))
    return played


def test_a_search_is_run_to_its_end_and_nothing_is_trained_a_second_time(search: PlayedSearch) -> None:
    progress = RecordedProgress()
    end = run_search(search.settings, search.project, search.config, progress)
    assert end.is_complete
    assert [one.state for one in end.book.record.trials] == ["finished"] * 2
    assert progress.said[0].startswith("search Dataset")
    assert "2 trials of 3 points, each of 2 epochs: at most 4 epochs" in progress.said[0]
    assert progress.relayed[-1] == "Trial 1 is finished: pseudo Dice 0.5000 at its last epoch."
    assert progress.steps[-1][1:] == (4, 4)
    assert run_search(search.settings, search.project, search.config, progress).is_complete
    assert len(search.child.started) == 2


def test_a_trial_that_fails_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = play_search(tmp_path, monkeypatch, Ends(1, ExitCode.DIVERGED, "No number."))
    monkeypatch.setattr(module, "run_child", drive_in_turn(search))
    end = run_search(search.settings, search.project, search.config, RecordedProgress())
    assert [one.state for one in end.book.record.trials] == ["failed", "finished"]


def test_a_trial_that_failed_for_a_reason_that_may_be_gone_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = play_search(tmp_path, monkeypatch, Ends(1, ExitCode.NO_SPACE, "No room."))
    monkeypatch.setattr(module, "run_child", drive_in_turn(search))
    end = run_search(search.settings, search.project, search.config, RecordedProgress())
    assert not end.is_complete
    assert end.reason == (
        "trial 0 failed for a reason that may be gone (disk_full); the next run goes on with what is left"
    )
    end = run_search(search.settings, search.project, search.config, RecordedProgress())
    assert (end.is_complete, end.reason) == (True, None)
    assert [one.state for one in end.book.record.trials] == ["finished"] * 2


def test_a_driver_that_is_killed_is_started_again(search: PlayedSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, starts = drive_in_turn(search), list[object]()

    def killed_first(*given: object, **more: object) -> ChildResult:
        starts.append(given)
        return ChildResult(-9, "Killed.", "") if len(starts) == 1 else whole(*given, **more)

    monkeypatch.setattr(module, "run_child", killed_first)
    assert run_search(search.settings, search.project, search.config, RecordedProgress()).is_complete
    assert len(starts) == 2


def test_a_driver_that_fails_ends_the_search_with_what_to_do(
    search: PlayedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_child", lambda *_, **__: ChildResult(70, "It broke.", ""))
    with pytest.raises(SearchError, match=r"its driver ended: It broke\. .*search run lr` goes on"):
        run_search(search.settings, search.project, search.config, RecordedProgress())


def test_the_driver_is_asked_for_the_search_and_given_what_ray_reads_whatever_the_project_says_of_it(
    search: PlayedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, DriverRequest, Mapping[str, str]]] = []

    def run_child(module: str, request: DriverRequest, *, environment: Mapping[str, str], **_: object) -> ChildResult:
        asked.append((module, request, environment))
        return ChildResult(0, None, "")

    monkeypatch.setattr(module, "run_child", run_child)
    theirs = {"RAY_memory_monitor_refresh_ms": "250", "NNUNET_ASSETS_FOLDS_AT_ONCE": "9", "THEIRS": "1"}
    settings = replace(search.settings, variables={**search.settings.variables, **theirs})
    run_search(settings, search.project, search.config, RecordedProgress(), is_tracked=False, environment={"NEW": "2"})
    ((name, request, environment),) = asked
    assert name == tune_driver.__name__
    assert request == DriverRequest(settings.project, search.config.of.dataset, "lr", is_tracked=False)
    assert environment.items() >= {**theirs, "NEW": "2", **tune_driver.RAY_VARIABLES}.items()


def changed(search: PlayedSearch, **fields: object) -> PlayedSearch:
    return replace(search, config=search.config.model_copy(update=fields))


def test_a_search_that_was_changed_under_its_trials_is_refused_and_a_space_by_the_users_word_gone_on_in(
    search: PlayedSearch,
) -> None:
    run_search(search.settings, search.project, search.config, RecordedProgress())
    other = changed(search, fold=1)
    with pytest.raises(ConfigError, match=r"was changed under its 2 trials: fold \(0, now 1\)"):
        run_search(search.settings, search.project, other.config, RecordedProgress())
    wider = changed(search, space={"initial_lr": {"choice": [0.1, 0.2, 0.3, 0.4]}})
    with pytest.raises(ConfigError, match=r"the space was changed under its 2 trials \(initial_lr\)"):
        run_search(search.settings, search.project, wider.config, RecordedProgress())
    end = run_search(search.settings, search.project, wider.config, RecordedProgress(), extends=True)
    assert (end.book.record.extended, len(end.book.record.trials)) == (1, 2)
    assert run_search(search.settings, search.project, wider.config, RecordedProgress()).is_complete
    # Scores on other data are not compared.
    write_record(end.book.folder, replace(end.book.record, inputs={**end.book.record.inputs, "splits_hash": "others"}))
    with pytest.raises(ConfigError, match="its 2 trials were trained on other splits than there are now"):
        run_search(search.settings, search.project, wider.config, RecordedProgress())


def test_what_a_changed_space_owes_is_trained_and_trials_outside_of_it_stay_and_do_not_go_on(
    search: PlayedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(search.settings, search.project, search.config, RecordedProgress())
    book = Book(search.config, search.settings.roots)
    book.end(1, "failed", 1, failure="killed", problem="gone")  # it would be tried again
    other = changed(search, space={"initial_lr": {"choice": [0.3, 0.4]}})
    monkeypatch.setattr(module, "run_child", drive_in_turn(other))
    progress = RecordedProgress()
    end = run_search(search.settings, search.project, other.config, progress, extends=True)
    assert end.is_complete
    assert [(one.point["initial_lr"], one.state) for one in end.book.record.trials] == [
        (0.1, "finished"),
        (0.2, "failed"),
        (0.3, "finished"),
        (0.4, "finished"),
    ]
    assert progress.steps[-1][1:] == (4, 4)
    report = search_status(search.settings, other.config)
    assert report.headline().startswith("2 of 2 trials (2 finished); 8 epochs")
    assert report.changes() == (
        "The space was changed once after trials began: 2 of them lie outside of it now, ranked but not counted."
    )
    assert [one.trial.number for one in report.ranked] == [0, 2, 3]
    # Back in the first space two of its trials are finished, and two are all that there are to be.
    end = run_search(search.settings, search.project, search.config, RecordedProgress(), extends=True)
    assert (end.is_complete, end.reason, len(search.child.started)) == (True, None, 4)
    assert [one.trial.number for one in search_status(search.settings, search.config).counted] == [0, 1, 2]


def test_only_one_process_runs_a_search(search: PlayedSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(*_: object, **__: object) -> ChildResult:
        with pytest.raises(SearchError, match="Another process runs the search"):
            run_search(search.settings, search.project, search.config, RecordedProgress())
        return ChildResult(0, None, "")

    monkeypatch.setattr(module, "run_child", second)
    assert not run_search(search.settings, search.project, search.config, RecordedProgress()).is_complete


def test_without_ray_it_is_said_how_to_get_it(search: PlayedSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "missing_packages", lambda: "A search needs Ray Tune.")
    with pytest.raises(ConfigError, match="A search needs Ray Tune"):
        run_search(search.settings, search.project, search.config, RecordedProgress())


def test_a_search_is_named_by_its_name_or_with_its_dataset(tmp_path: Path) -> None:
    project, config, _ = project_with_search(tmp_path)
    assert search_named(project, "lr") is search_named(project, "Dataset004_Hippocampus/lr") is config
    with pytest.raises(ConfigError, match=r"declares no search 'lrr'\. Did you mean lr\? There are: Dataset004_"):
        search_named(read_project(tmp_path), "lrr")


@pytest.mark.parametrize(
    ("trial", "curve", "said"),
    [
        (Trial(0, {"lr": 0.012345, "loss": "dice"}, 0), Curve(), "begins: lr 0.01235, loss dice."),
        (Trial(0, {"lr": 0.1}, 0), Curve({2: 0.5}, 2), "goes on after 2 epochs: lr 0.1."),
        (Trial(0, {}, 0, "finished"), Curve({1: 0.5, 2: 0.6}, 2), "is finished: pseudo Dice 0.6000 at its last epoch."),
        (Trial(0, {}, 0, "stopped", 3), Curve({}, 3), "is stopped after 3 epochs: no pseudo Dice."),
        (
            Trial(0, {}, 0, "failed", 1, "diverged", "No number."),
            Curve(),
            "failed (diverged) after 1 epoch: No number.",
        ),
    ],
)
def test_what_is_said_of_a_trial_is_where_it_stands(trial: Trial, curve: Curve, said: str) -> None:
    assert trial_in_words(trial, curve) == said


def test_a_look_is_taken_once_a_second_or_when_it_is_asked_for_and_says_each_change_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config, settings = project_with_search(tmp_path)  # 4 trials of 9 epochs
    book = begun_book(config, settings, [0.1, 0.2], [0.3])
    book.end(1, "stopped", 1)
    clock, progress = [100.0], RecordedProgress()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    lines = TrialLines(config, settings, progress)
    lines.show_new()
    # Two epochs, and nine of a trial that needs no more.
    assert progress.steps == [("epochs trained or spared", 11, 36)]
    assert progress.relayed == ["Trial 0 goes on after 2 epochs: initial_lr 0.01, optimizer_name SGD."]
    book.end(0, "finished", 9)
    clock[0] = 100.9
    lines.show_new()
    assert len(progress.steps) == 1
    lines.show_new(at_once=True)
    assert progress.steps[1:] == [("epochs trained or spared", 18, 36)]
    clock[0] = 101.95
    lines.show_new()
    assert progress.relayed[1:] == ["Trial 0 is finished: pseudo Dice 0.2000 at its last epoch."]
    assert len(progress.steps) == 3


@pytest.mark.parametrize(
    ("engine", "variable", "is_refused"),
    [
        ("kind: ray\n", None, True),
        ("kind: ray\naddress: auto\n", None, True),
        ("kind: ray\naddress: ray-head:6379\n", None, False),
        ("kind: ray\n", "ray-head:6379", False),
        ("kind: slurm\n", None, False),
    ],
)
def test_a_search_whose_trials_train_in_tasks_of_ray_says_of_which_cluster(
    tmp_path: Path, engine: str, variable: str | None, is_refused: bool
) -> None:
    _, config, settings = project_with_search(tmp_path)
    (tmp_path / "engine.yaml").write_text(f"{engine}cpus: 2\n")
    named = replace(settings, variables={"RAY_ADDRESS": variable} if variable else {})
    if is_refused:
        with pytest.raises(ConfigError, match="say which cluster is meant, by `address` in engine"):
            module._check_cluster(named, config)
    else:
        module._check_cluster(named, config)
