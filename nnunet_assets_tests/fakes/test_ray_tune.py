"""What the driver of a search relies on of Ray Tune, shown on a real one and on the fake alike."""

import inspect
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets_tests.fakes import ray_tune

STEPS = {
    "whole": [0.1, 0.2, "done"],
    "stopped": [0.3, 0.9, 0.9, "done"],
    "broken": ["raise"],
    "mended": [0.5, "raise at first", 0.6, "done"],
}
"""By trial what its steps do: give a score, or end."""

N_RESTARTS = 2


@dataclass
class Told:
    """What a real or a played Tune did with four trials, two at once.

    Attributes:
        calls: By trial, what searcher and scheduler were called with.
        lives: In the order of time, what the trials' processes did: `begin whole 7`, `step whole`, `end whole`; 7 is
            what all share.
        n_asked: How often a trial was asked for.
        n_saved: How often the searcher was to write its state.
    """

    calls: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    lives: list[str] = field(default_factory=list)
    n_asked: int = 0
    n_saved: int = 0


def tuned(folder: Path) -> Told:
    """Runs the four trials on the Tune that there is."""
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    told, names, log = Told({name: [] for name in STEPS}), dict[str, str](), folder / "lives.txt"

    class Recorded(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any], steps: dict[str, list[Any]], log: Path, shared: int) -> None:
            self._name, self._steps, self._log = config["name"], iter(steps[config["name"]]), log
            self._is_again = f"begin {self._name} " in (log.read_text() if log.exists() else "")
            self._note(f"begin {self._name} {shared}")

        def step(self) -> dict[str, Any]:
            what = next(self._steps)
            self._note(f"step {self._name}")
            if what == "raise" or (what == "raise at first" and not self._is_again):
                raise RuntimeError("broken")
            if what == "raise at first":
                return {"score": 0.55}
            return {"done": True, "ended": "well"} if what == "done" else {"score": what}

        def cleanup(self) -> None:
            self._note(f"end {self._name}")

        def _note(self, what: str) -> None:
            with self._log.open("a") as file:
                file.write(f"{what}\n")

    class RecordedSearcher(Searcher):  # type: ignore[misc]
        def suggest(self, trial_id: str) -> Any:
            told.n_asked += 1
            if len(names) == len(STEPS):
                return Searcher.FINISHED
            names[trial_id] = [*STEPS][len(names)]
            return {"name": names[trial_id]}

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            told.calls[names[trial_id]].append(("searcher", result["score"]))

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            ended = result and (result["done"], result.get("ended"), result.get("score"))
            told.calls[names[trial_id]].append(("searcher's end", ended, error))

        def save(self, checkpoint_path: str) -> None:
            told.n_saved += 1
            Path(checkpoint_path).touch()

    class RecordedScheduler(FIFOScheduler):  # type: ignore[misc]
        def on_trial_add(self, controller: Any, trial: Any) -> None:
            told.calls[trial.config["name"]].append(("added",))

        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            told.calls[trial.config["name"]].append(("scheduler", result["score"]))
            return "STOP" if (trial.config["name"], result["score"]) == ("stopped", 0.9) else "CONTINUE"

        def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
            told.calls[trial.config["name"]].append(("scheduler's end", result["done"]))

        def on_trial_error(self, controller: Any, trial: Any) -> None:
            told.calls[trial.config["name"]].append(("error",))

    tune.Tuner(
        tune.with_resources(tune.with_parameters(Recorded, steps=STEPS, log=log, shared=7), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            num_samples=9,
            max_concurrent_trials=2,
            search_alg=RecordedSearcher("score", "max"),
            scheduler=RecordedScheduler(),
        ),
        run_config=tune.RunConfig(
            name="recorded",
            storage_path=str(folder / "tune"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=N_RESTARTS),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    told.lives = log.read_text().splitlines()
    return told


def decisions(seed: int) -> list[str]:
    """Returns what ASHA says to the scores of some trials, which report in any order."""
    from ray.tune.schedulers import ASHAScheduler

    draw = random.Random(seed)
    most, least, factor = draw.randint(2, 60), draw.randint(1, 5), draw.choice([1.5, 2.0, 2.0, 3.0, 4.0])
    asha = ASHAScheduler(
        time_attr="n",
        metric="score",
        mode="max",
        max_t=max(most, least),
        grace_period=least,
        reduction_factor=factor,
    )
    trials = [SimpleNamespace(trial_id=str(number)) for number in range(8)]
    for trial in trials:
        asha.on_trial_add(None, trial)
    epochs, said = dict.fromkeys(range(8), 0), []
    for _ in range(200):
        number = draw.randrange(8)
        epochs[number] += draw.choice([1, 1, 1, 5])  # some were reported to nobody
        result = {"n": epochs[number], "score": draw.choice([0.1, 0.5, draw.random()])}
        if draw.random() < 0.1:
            del result["score"]
        said.append(asha.on_trial_result(None, trials[number], result))
        if draw.random() < 0.05:  # it ends, and begins again
            asha.on_trial_complete(None, trials[number], {**result, "score": 0.5})
            asha.on_trial_add(None, trials[number])
            asha.on_trial_remove(None, trials[number])
            asha.on_trial_add(None, trials[number])
    return said


class TuneContract(ABC):
    """One run, which no test changes."""

    @pytest.fixture(scope="class")
    @classmethod
    @abstractmethod
    def told(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
        """What it did with the four trials."""

    def test_a_trial_is_given_what_was_suggested_and_what_all_share_and_takes_steps_until_it_is_done(
        self, told: Told
    ) -> None:
        lives = [one for one in told.lives if "whole" in one]
        assert lives == ["begin whole 7", *["step whole"] * 3, "end whole"]
        assert told.n_asked == len(STEPS) + 1  # though there might be nine

    def test_a_result_goes_to_the_scheduler_and_to_the_searcher_and_the_last_one_to_the_ends_of_both(
        self, told: Told
    ) -> None:
        results = [(who, score) for score in (0.1, 0.2) for who in ("scheduler", "searcher")]
        ends = [("scheduler's end", True), ("searcher's end", (True, "well", None), False)]
        assert told.calls["whole"] == [("added",), *results, *ends]

    def test_a_trial_that_is_stopped_is_over_with_the_result_that_it_was_stopped_for(self, told: Told) -> None:
        ends = [("scheduler's end", True), ("searcher's end", (True, None, 0.9), False)]
        first = [("added",), ("scheduler", 0.3), ("searcher", 0.3)]
        assert told.calls["stopped"] == [*first, ("scheduler", 0.9), *ends]
        lives = [one for one in told.lives if "stopped" in one]
        assert lives == ["begin stopped 7", "step stopped", "step stopped", "end stopped"]

    def test_a_trial_that_breaks_begins_again_so_often_and_then_is_an_error_without_a_result(self, told: Told) -> None:
        again = [("added",), ("error",)] * (N_RESTARTS + 1)
        assert told.calls["broken"] == [*again, ("searcher's end", None, True)]
        assert told.lives.count("begin broken 7") == N_RESTARTS + 1

    def test_a_trial_that_broke_once_reports_from_its_beginning_again(self, told: Told) -> None:
        scores = [score for who, *score in told.calls["mended"] if who == "searcher"]
        assert scores == [[0.5], [0.5], [0.55], [0.6]]
        assert told.calls["mended"][-1] == ("searcher's end", (True, "well", None), False)
        assert [who for who, *_ in told.calls["mended"]].count("added") == 2

    def test_no_more_trials_are_there_at_once_than_may_be(self, told: Told) -> None:
        living: set[str] = set()
        for what, name, *_ in map(str.split, told.lives):
            assert not (what == "begin" and len(living - {name}) > 1)
            (living.discard if what == "end" or name == "broken" else living.add)(name)

    def test_the_searcher_is_to_write_its_state(self, told: Told) -> None:
        assert told.n_saved >= 1

    @pytest.fixture
    @abstractmethod
    def tune(self) -> None:
        """Has what imports `ray.tune` find the one that is meant."""

    @pytest.mark.usefixtures("tune")
    def test_asha_stops_what_is_below_the_best_part_of_what_came_before_it(self) -> None:
        from ray.tune.schedulers import ASHAScheduler

        # Compared after 1, 3 and 9 epochs with the best third.
        asha = ASHAScheduler(time_attr="n", metric="score", mode="max", max_t=20, grace_period=1, reduction_factor=3.0)

        def said(name: str, n: int, score: float) -> str:
            return str(asha.on_trial_result(None, SimpleNamespace(trial_id=name), {"n": n, "score": score}))

        for name in "abcde":
            asha.on_trial_add(None, SimpleNamespace(trial_id=name))
        # The cut among 0.3 and 0.6 lies two thirds of the way up, at 0.5; among 0.3, 0.5 and 0.6 a third above 0.5.
        assert [said("a", 1, 0.3), said("b", 1, 0.6), said("c", 1, 0.5)] == ["CONTINUE", "CONTINUE", "CONTINUE"]
        assert said("d", 1, 0.53) == "STOP"
        assert said("a", 2, 0.0) == "CONTINUE"  # between two comparisons
        # What comes late is compared where it has come to, and where it was not compared only afterwards.
        assert [said("e", 4, 0.1), said("e", 5, 0.1)] == ["CONTINUE", "STOP"]
        assert said("a", 20, 0.99) == "STOP"  # has all its epochs


class TestFake(TuneContract):
    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
        with pytest.MonkeyPatch.context() as patch:
            ray_tune.installed(patch).init(num_cpus=4)
            yield tuned(tmp_path_factory.mktemp("fake"))

    @pytest.fixture
    def tune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ray_tune.installed(monkeypatch)


@pytest.mark.faults
@pytest.mark.filterwarnings("default")
class TestRealTune(TuneContract):
    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
        ray = pytest.importorskip("ray")
        from nnunet_assets.workflows.search.tune_driver import OBJECT_STORE_BYTES, RAY_VARIABLES

        with pytest.MonkeyPatch.context() as patch:
            for name, value in RAY_VARIABLES.items():
                patch.setenv(name, value)
            ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
            try:
                yield tuned(tmp_path_factory.mktemp("real"))
            finally:
                ray.shutdown()

    @pytest.fixture
    def tune(self) -> None:
        pytest.importorskip("ray.tune")

    @pytest.mark.parametrize("seed", range(300))
    def test_the_fake_decides_as_asha_does(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ray.tune")
        real = decisions(seed)
        ray_tune.installed(monkeypatch)
        assert decisions(seed) == real

    def test_the_fake_takes_nothing_that_it_does_not_take(self) -> None:
        tune = pytest.importorskip("ray.tune")
        from ray import init
        from ray._private.ray_constants import OBJECT_STORE_MINIMUM_MEMORY_BYTES
        from ray.tune import schedulers, search

        real = {**vars(tune), **vars(schedulers), **vars(search)}
        ours = {name: one for name, one in vars(ray_tune).items() if inspect.isclass(one) or inspect.isfunction(one)}
        ours = {name: one for name, one in ours.items() if name in real and one is not Any}
        assert {"with_parameters", "with_resources", "ASHAScheduler", "TuneConfig", "RunConfig"} <= {*ours}
        for name, one in ours.items():
            taken = {*inspect.signature(one).parameters} - {"shared"}
            assert taken <= {*inspect.signature(real[name]).parameters}, name
        assert {*inspect.signature(inspect.unwrap(init)).parameters} >= ray_tune.INIT_OPTIONS
        assert OBJECT_STORE_MINIMUM_MEMORY_BYTES == ray_tune.LEAST_OBJECT_STORE_BYTES
