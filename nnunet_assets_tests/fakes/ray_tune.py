"""Ray and its Tune played in this process: trials take a step each in turn, without processes, in milliseconds.

It knows what the driver of a search uses of them and nothing more, and takes no argument that they would not take;
`test_ray_tune` holds it to what they do.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

INIT_OPTIONS = frozenset(
    {"address", "num_gpus", "include_dashboard", "object_store_memory", "namespace", "logging_level"}
)

LEAST_OBJECT_STORE_BYTES = 75 << 20


@dataclass
class FakeRay:
    """What was asked of the Ray that stands in the place of `ray`.

    Attributes:
        started: What each start was given.
        is_there: Whether one runs.
    """

    started: list[dict[str, Any]] = field(default_factory=list)
    is_there: bool = False

    def init(self, *, num_cpus: int, **given: Any) -> None:
        assert not self.is_there
        assert {*given} <= INIT_OPTIONS
        assert given.get("object_store_memory", LEAST_OBJECT_STORE_BYTES) >= LEAST_OBJECT_STORE_BYTES
        self.started.append({"num_cpus": num_cpus, **given})
        self.is_there = True

    def shutdown(self) -> None:
        self.is_there = False

    @property
    def n_cpus(self) -> int:
        assert self.is_there, "Tune would start a Ray of its own, with all processors."
        return int(self.started[-1]["num_cpus"])


def installed(patch: pytest.MonkeyPatch) -> FakeRay:
    """Returns a Ray that whatever imports `ray` and `ray.tune` finds in their place."""
    ray = FakeRay()

    class Tuner(_Tuner):
        ray_below = ray

    tune = {
        **{
            kind.__name__: kind
            for kind in (TuneConfig, RunConfig, FailureConfig, CheckpointConfig, Trainable, Callback)
        },
        "Tuner": Tuner,
        "with_parameters": with_parameters,
        "with_resources": with_resources,
    }
    schedulers = {kind.__name__: kind for kind in (ASHAScheduler, FIFOScheduler, TrialScheduler)}
    modules: dict[str, dict[str, Any]] = {
        "ray": {"init": ray.init, "shutdown": ray.shutdown},
        "ray.tune": tune,
        "ray.tune.search": {"Searcher": Searcher},
        "ray.tune.schedulers": schedulers,
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        patch.setitem(sys.modules, name, module)
        if parent := name.rpartition(".")[0]:
            setattr(sys.modules[parent], name.rpartition(".")[2], module)
    return ray


class Trainable:
    """A trial."""

    needs: Mapping[str, float] = {"cpu": 1}

    def setup(self, config: dict[str, Any]) -> None:
        """Begins."""

    def step(self) -> dict[str, Any]:
        raise NotImplementedError

    def cleanup(self) -> None:
        """Ends."""


def with_parameters(trainable: type[Any], **shared: Any) -> type[Any]:
    class Given(trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, **shared)

    return Given


def with_resources(trainable: type[Any], resources: Mapping[str, float]) -> type[Any]:
    return type(trainable.__name__, (trainable,), {"needs": resources})


class Callback:
    """Hears of each report, and of the end of each of Tune's rounds."""


class Searcher:
    """Says what trials there are."""

    FINISHED = "FINISHED"

    def __init__(self, metric: str, mode: str) -> None:
        self.metric, self.mode = metric, mode


class TrialScheduler:
    """Says which trials go on."""

    CONTINUE, STOP = "CONTINUE", "STOP"


class FIFOScheduler(TrialScheduler):
    """All of them."""

    def on_trial_add(self, controller: Any, trial: Any) -> None: ...

    def on_trial_error(self, controller: Any, trial: Any) -> None: ...

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.CONTINUE

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None: ...

    def on_trial_remove(self, controller: Any, trial: Any) -> None: ...


class ASHAScheduler(FIFOScheduler):
    """Those that are no worse than the best part of what was compared with them after as many epochs."""

    def __init__(
        self,
        *,
        time_attr: str,
        metric: str,
        mode: str,
        max_t: int,
        grace_period: int,
        reduction_factor: float,
    ) -> None:
        assert mode == "max"
        self._time, self._metric, self._most, self._factor = time_attr, metric, max_t, reduction_factor
        n_rungs = int(math.log(max_t / grace_period) / math.log(reduction_factor) + 1)
        rungs = (grace_period * reduction_factor**index for index in reversed(range(n_rungs)))
        self._rungs: dict[float, dict[str, float]] = {rung: {} for rung in rungs}
        self._known: set[str] = set()

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        self._known.add(trial.trial_id)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if self._time not in result or self._metric not in result:
            return self.CONTINUE
        return self.STOP if result[self._time] >= self._most else self._compared(trial.trial_id, result)

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if self._time in result and self._metric in result:
            self._compared(trial.trial_id, result)
            self._known.remove(trial.trial_id)

    def on_trial_remove(self, controller: Any, trial: Any) -> None:
        self._known.remove(trial.trial_id)

    def _compared(self, name: str, result: dict[str, Any]) -> str:
        assert name in self._known
        time, score = result[self._time], result[self._metric]
        # One at most is decided by a result: the highest that the trial has reached and has no score in.
        scores = next((scores for rung, scores in self._rungs.items() if time >= rung and name not in scores), None)
        if scores is None:
            return self.CONTINUE
        is_worse = bool(scores) and score < np.percentile([*scores.values()], (1 - 1 / self._factor) * 100)
        scores[name] = score
        return self.STOP if is_worse else self.CONTINUE


@dataclass(kw_only=True)
class TuneConfig:
    """How many trials, and who directs them."""

    num_samples: int
    max_concurrent_trials: int
    search_alg: Any
    scheduler: Any


@dataclass(kw_only=True)
class FailureConfig:
    """How often a trial whose process fails begins again."""

    max_failures: int = 0


@dataclass(kw_only=True)
class CheckpointConfig:
    """Whether a trial is asked for a checkpoint when it ends, which none of ours has."""

    checkpoint_at_end: bool = True


@dataclass(kw_only=True)
class RunConfig:
    """Where things go."""

    name: str
    storage_path: str
    verbose: int
    failure_config: FailureConfig
    checkpoint_config: CheckpointConfig
    callbacks: list[Any] = field(default_factory=list)


@dataclass
class _Running:
    trial: Any
    trainable: Any
    n_failures: int = 0


@dataclass
class _Tuner:
    trainable: type[Any]
    tune_config: TuneConfig
    run_config: RunConfig
    ray_below = FakeRay()

    def fit(self) -> None:
        assert not self.run_config.checkpoint_config.checkpoint_at_end
        config, running, numbers = self.tune_config, list[_Running](), count()
        at_once = min(config.max_concurrent_trials, self.ray_below.n_cpus // int(self.trainable.needs["cpu"]))
        folder = Path(self.run_config.storage_path, self.run_config.name)
        folder.mkdir(parents=True, exist_ok=True)
        is_finished = False
        while True:
            while not is_finished and len(running) < at_once and (number := next(numbers)) < config.num_samples:
                name = f"trial_{number}"
                given = config.search_alg.suggest(name)
                if is_finished := given == Searcher.FINISHED:
                    break
                trial = SimpleNamespace(trial_id=name, config=given)
                config.scheduler.on_trial_add(self, trial)
                running.append(_Running(trial, self._begun(trial)))
            if not running:
                break
            running = [one for one in running if self._goes_on(one)]
            for callback in self.run_config.callbacks:
                callback.on_step_end(iteration=0, trials=[])
        config.search_alg.save(str(folder / "searcher.pkl"))

    def _begun(self, trial: Any) -> Any:
        trainable = self.trainable()
        trainable.setup(dict(trial.config))
        return trainable

    def _goes_on(self, one: _Running) -> bool:
        searcher, scheduler = self.tune_config.search_alg, self.tune_config.scheduler
        try:
            result = one.trainable.step()
        except Exception:  # noqa: BLE001 (whatever ends a trial's process)
            one.n_failures += 1
            scheduler.on_trial_error(self, one.trial)
            if one.n_failures <= self.run_config.failure_config.max_failures:
                scheduler.on_trial_add(self, one.trial)
                one.trainable = self._begun(one.trial)
                return True
            searcher.on_trial_complete(one.trial.trial_id, error=True)
            return False
        for callback in self.run_config.callbacks:
            callback.on_trial_result(iteration=0, trials=[], trial=one.trial, result=dict(result))
        is_over = bool(result.get("done"))
        if not is_over:
            is_over = scheduler.on_trial_result(self, one.trial, dict(result)) == TrialScheduler.STOP
            if not is_over:
                searcher.on_trial_result(one.trial.trial_id, dict(result))
                return True
        result = {**result, "done": True}
        scheduler.on_trial_complete(self, one.trial, result)
        searcher.on_trial_complete(one.trial.trial_id, result=result)
        one.trainable.cleanup()
        return False
