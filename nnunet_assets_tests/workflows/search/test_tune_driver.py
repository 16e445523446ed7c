"""What the driver tells Ray and Tune, and what it does with what they say; their place is taken by a fake.

What is compared with what is shown on Ray's own classes too. A whole search on a Ray of its own is a trial of `faults`.
"""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.search import direction as directions
from nnunet_assets.workflows.search import tune_driver
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.direction import Direction
from nnunet_assets.workflows.search.trial import TrialWork, report_of
from nnunet_assets.workflows.search.tune_driver import DriverRequest, drive, scheduler, searcher
from nnunet_assets_tests.fakes import ray_tune
from nnunet_assets_tests.fakes.ray_tune import FakeRay
from nnunet_assets_tests.project_builders import DATASET, documents, write_project
from nnunet_assets_tests.search_builders import begun_book, project_with_search, search_text, write_epoch

FINISHED = {"done": True, "ended": "finished"}
DIVERGED = {"done": True, "ended": "failed", "failure": "diverged", "problem": "No number."}

Step = float | Mapping[str, Any] | signal.Signals | Exception
"""Of a played trial: an epoch with a score, the last report, a signal to this process and silence, or an error."""


@dataclass
class PlayedTrials:
    """Stands in the place of `TrialRun`.

    Attributes:
        config: The search.
        settings: Of its project.
        script: By number of the trial, what its steps are; it ends well after these.
        begun: Each start: the number and the point of the trial.
        living: The numbers of those that were not ended, in the order of their begin.
        most_at_once: How many were living at most.
        works: What all have in common, as each start was given it.
    """

    config: SearchConfig
    settings: Settings
    script: Sequence[Sequence[Step]]
    begun: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    living: list[int] = field(default_factory=list)
    most_at_once: int = 0
    works: list[TrialWork] = field(default_factory=list)

    def __call__(self, work: TrialWork, number: int, point: Mapping[str, Any]) -> Any:
        steps = iter((*self.script[number], FINISHED))
        self.works.append(work)

        def start() -> None:
            self.begun.append((number, point))
            self.living.append(number)
            self.most_at_once = max(self.most_at_once, len(self.living))

        def next_report(seconds: float) -> Mapping[str, Any] | None:
            assert 0 < seconds <= 1  # a search that is stopped is noticed so soon
            step = next(steps)
            if isinstance(step, Exception):
                self.living.remove(number)  # its process ends with it
                raise step
            if isinstance(step, signal.Signals):
                os.kill(os.getpid(), step)
                return None
            if isinstance(step, Mapping):
                return step
            epoch = Book(self.config, self.settings.roots).curve(number).n_epochs
            write_epoch(self.config, self.settings, number, epoch, step)
            return report_of(epoch, {"pseudo_dice_ema": step, "epoch_seconds": 10.0})

        return SimpleNamespace(start=start, next_report=next_report, end=lambda: self.living.remove(number))

    def drive(self, *, is_tracked: bool = False) -> Book:
        """Returns the book of the search after a driver ran it."""
        drive(DriverRequest(self.settings.project, self.config.of.dataset, self.config.name, is_tracked))
        return Book(self.config, self.settings.roots)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    return ray_tune.installed(monkeypatch)


BUDGET = "{trials: 3, max_epochs: 4, min_epochs: 1, reduction: 2.0}"


def play(
    root: Path,
    patch: pytest.MonkeyPatch,
    *script: Sequence[Step],
    earlier: Sequence[Sequence[float]] = (),
    budget: str = BUDGET,
) -> PlayedTrials:
    """Returns trials that are played by a script, of a search of which the first ones have begun."""

    def point(space: Any, sampler: str, seed: int, trials: Any, curves: Any, **_: Any) -> dict[str, Any]:
        return {"initial_lr": 0.01 * (len(trials) + 1), "optimizer_name": "AdamW"}

    _, config, settings = project_with_search(root, budget=budget)
    begun_book(config, settings, *earlier)
    played = PlayedTrials(config, settings, script)
    patch.setattr(tune_driver, "TrialRun", played)
    patch.setattr(directions, "next_point", point)
    return played


def test_trials_are_drawn_trained_stopped_and_ended_as_the_book_says_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
) -> None:
    trials = play(tmp_path, monkeypatch, [0.5, 0.6, 0.7, 0.8], [0.4, 0.9, 0.9, 0.9], [0.6, DIVERGED])
    book = trials.drive()
    assert [(one.state, one.n_epochs, one.failure) for one in book.record.trials] == [
        ("finished", 4, None),
        ("stopped", 1, None),
        ("failed", 1, "diverged"),
    ]
    assert trials.begun == [
        (number, {"initial_lr": 0.01 * (number + 1), "optimizer_name": "AdamW"}) for number in range(3)
    ]
    assert trials.living == []


def test_trials_that_had_begun_go_on_first_and_are_compared_with_those_that_had_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
) -> None:
    trials = play(tmp_path, monkeypatch, [], [0.3], [0.8] * 4, earlier=[[0.5] * 4, [0.6]])
    book = Book(trials.config, trials.settings.roots)
    book.end(0, "finished", 4)
    (book.folder / "tune").mkdir()
    (book.folder / "tune" / "of an earlier driver").touch()
    book = trials.drive()
    assert [number for number, _ in trials.begun] == [1, 2]
    assert [(one.state, one.n_epochs) for one in book.record.trials] == [
        ("finished", 4),
        ("stopped", 2),
        ("finished", 4),
    ]
    assert [path.name for path in (book.folder / "tune").iterdir()] == ["lr"]


@pytest.mark.parametrize("at_once", [1, 2])
def test_ray_is_this_drivers_own_and_as_large_as_many_trials_train_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay, at_once: int
) -> None:
    budget = f"{{trials: 3, at_once: {at_once}, max_epochs: 2}}"
    trials = play(tmp_path, monkeypatch, *[[0.5, 0.5]] * 3, budget=budget)
    assert [one.state for one in trials.drive().record.trials] == ["finished"] * 3
    assert trials.most_at_once == at_once
    (started,) = ray.started
    assert (started["address"], started["num_cpus"], started["num_gpus"]) == ("local", at_once, 0)
    assert not started["include_dashboard"]
    assert not ray.is_there


@pytest.mark.usefixtures("ray")
def test_tune_waits_a_moment_where_no_trial_reports_and_not_where_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(tune_driver, "time", SimpleNamespace(sleep=waited.append))
    pause = tune_driver.pause()
    pause.on_trial_result(iteration=1, trials=[], trial=None, result={})
    pause.on_step_end(iteration=1, trials=[])
    assert waited == []
    pause.on_step_end(iteration=2, trials=[])
    assert waited == [tune_driver.PAUSE_SECONDS]


@pytest.mark.parametrize("has_names", [True, False])
def test_of_ray_that_is_ended_which_nothing_of_a_search_asks(has_names: bool) -> None:
    ended: list[str] = []
    kills = {f"kill_{name}": lambda name=name, **_: ended.append(name) for name in ("log_monitor", "monitor")}
    worker = SimpleNamespace(_global_node=SimpleNamespace(**kills if has_names else {}))
    tune_driver._end_unused(SimpleNamespace(_private=SimpleNamespace(worker=worker)))
    assert ended == (["log_monitor", "monitor"] if has_names else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_ends_its_trials_in_order_and_they_go_on_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay, number: signal.Signals
) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    trials = play(tmp_path, monkeypatch, [0.5, number, 0.6], [], [])
    book = trials.drive()
    assert directions.stop_reason(book) == "it was asked to end (SIGINT or SIGTERM)"
    assert [(one.number, one.state) for one in book.record.trials] == [(0, "begun")]
    assert trials.living == []
    assert not ray.is_there
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_trial_whose_process_is_killed_again_and_again_has_failed_and_the_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
) -> None:
    trials = play(tmp_path, monkeypatch, [ValueError("gone")], [0.5] * 4, [0.5] * 4)
    book = trials.drive()
    assert [number for number, _ in trials.begun] == [*[0] * 4, 1, 2]
    assert [(one.state, one.failure) for one in book.record.trials] == [
        ("failed", "killed"),
        *[("finished", None)] * 2,
    ]


def test_ray_ends_and_signals_mean_what_they_did_where_tune_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
) -> None:
    def breaks(*_: object) -> None:
        assert ray.is_there
        raise ValueError("Tune broke.")

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    trials = play(tmp_path, monkeypatch)
    monkeypatch.setattr(tune_driver, "run_tune", breaks)
    with pytest.raises(ValueError, match=r"Tune broke\."):
        trials.drive()
    assert not ray.is_there
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("is_tracked", [True, False])
def test_trials_are_given_the_project_and_where_they_are_tracked_if_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tracked: bool
) -> None:
    trials = play(tmp_path, monkeypatch, [0.5], [0.5], [0.5], budget="{trials: 3, max_epochs: 1}")
    trials.drive(is_tracked=is_tracked)
    for work in trials.works:
        assert (work.settings.project, work.project.root) == (tmp_path, tmp_path)
        assert work.config == trials.config
        assert work.destination == (Destination.of(work.settings) if is_tracked else None)


@pytest.mark.usefixtures("ray")
def test_the_search_is_found_by_its_dataset_and_its_name_among_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = "{trials: 3, max_epochs: 1}"
    trials, text = play(tmp_path, monkeypatch, *[[0.5]] * 3, budget=budget), search_text(budget=budget)
    others = [text.replace("name: lr", f"name: {name}") for name in ("aa", "zz")]
    write_project(tmp_path, {"defs.yaml": documents(DATASET, others[0], text, others[1])})
    assert [one.state for one in trials.drive().record.trials] == ["finished"] * 3


def test_a_driver_that_is_started_again_does_not_go_on_in_a_space_that_was_changed_meanwhile(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1])
    project_with_search(tmp_path, space="{initial_lr: {log: [1.0e-3, 1.0e-1]}}")
    with pytest.raises(ConfigError, match=r"its space was changed while it ran\. Run it again with `--extend`"):
        drive(DriverRequest(tmp_path, config.of.dataset, config.name, is_tracked=False))


@pytest.mark.usefixtures("ray")
def test_nothing_that_tune_wrote_is_read_again(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    with pytest.raises(NotImplementedError, match="A search goes on from its book"):
        searcher(Direction(begun_book(config, settings))).restore(str(tmp_path))


class ComparedTrialsContract(ABC):
    """Trials that are compared after 2, 4 and 8 of 9 epochs, half of which go on, if nothing else is said."""

    @pytest.fixture(autouse=True)
    @abstractmethod
    def _tune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Has what imports `ray.tune` find the one that is meant."""

    def test_a_trial_is_stopped_by_what_earlier_processes_saw_and_no_decision_is_taken_twice(
        self, tmp_path: Path
    ) -> None:
        _, config, settings = project_with_search(tmp_path)
        book = begun_book(config, settings, [0.8] * 9, [0.7, 0.7], [0.3, 0.3, 0.3])
        book.end(0, "finished", 9)
        book.end(1, "stopped", 2)
        direction = Direction(book)
        made, trial = scheduler(direction), tune_trial(direction, "again")
        made.on_trial_add(None, trial)
        # Worse than both at epoch 2: that it went on was decided before.
        assert [decision(made, trial, n, 0.3) for n in (1, 2, 3)] == ["CONTINUE"] * 3
        assert decision(made, trial, 4, 0.3) == "STOP"
        assert (book.record.trials[2].state, book.record.trials[2].n_epochs) == ("stopped", 4)

    def test_nobody_is_stopped_at_the_last_epoch_before_the_validation(self, tmp_path: Path) -> None:
        budget = "{trials: 4, max_epochs: 8, min_epochs: 4, reduction: 2.0}"
        _, config, settings = project_with_search(tmp_path, budget=budget)
        book = begun_book(config, settings, [0.9] * 8, [])
        book.end(0, "finished", 8)
        direction = Direction(book)
        made, trial = scheduler(direction), tune_trial(direction, "a")
        made.on_trial_add(None, trial)
        assert decision(made, trial, 7, 0.1) == "STOP"
        assert decision(made, trial, 8, 0.1) == "CONTINUE"

    def test_the_score_of_the_last_epoch_is_what_nobody_is_compared_with(self, tmp_path: Path) -> None:
        _, config, settings = project_with_search(tmp_path)
        direction = Direction(begun_book(config, settings, [], []))
        made = scheduler(direction)
        first, second = tune_trial(direction, "first"), tune_trial(direction, "second")
        for trial in (first, second):
            made.on_trial_add(None, trial)
        # It has none after eight epochs: its patches held no label.
        assert [decision(made, first, n, 0.9) for n in (4, 9)] == ["CONTINUE"] * 2
        made.on_trial_complete(None, first, {"epochs_trained": 9, "pseudo_dice_ema": 0.9, "done": True})
        assert decision(made, second, 8, 0.1) == "CONTINUE"

    def test_a_trial_that_ended_before_is_compared_with_once_for_each_comparison(self, tmp_path: Path) -> None:
        _, config, settings = project_with_search(tmp_path)
        book = begun_book(config, settings, [0.2, 0.9, 0.1, 0.4], [0.5, 0.5, 0.5, 0.6], [])
        book.end(0, "failed", 4, failure="diverged", problem="")
        book.end(1, "stopped", 4)
        direction = Direction(book)
        made, trial = scheduler(direction), tune_trial(direction, "new")
        made.on_trial_add(None, trial)
        # The halves lie at 0.7 and at 0.5.
        assert decision(made, trial, 2, 0.71) == "CONTINUE"
        assert decision(made, trial, 4, 0.49) == "STOP"

    def test_without_min_epochs_nobody_is_stopped(self, tmp_path: Path) -> None:
        _, config, settings = project_with_search(tmp_path, budget="{trials: 4, max_epochs: 8}")
        made = scheduler(Direction(begun_book(config, settings)))
        assert type(made).__name__ == "FIFOScheduler"


class TestOnTheFake(ComparedTrialsContract):
    @pytest.fixture(autouse=True)
    def _tune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ray_tune.installed(monkeypatch)


@pytest.mark.faults
@pytest.mark.filterwarnings("default")
class TestOnRaysOwn(ComparedTrialsContract):
    @pytest.fixture(autouse=True)
    def _tune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ray.tune")


def tune_trial(direction: Direction, name: str) -> Any:
    trial = direction.next_trial(name)
    assert trial
    return SimpleNamespace(trial_id=name, config={"number": trial.number})


def decision(made: Any, trial: Any, n_epochs: int, score: float) -> str:
    return str(made.on_trial_result(None, trial, {"epochs_trained": n_epochs, "pseudo_dice_ema": score}))
