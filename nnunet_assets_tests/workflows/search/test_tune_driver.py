"""What Ray is told, by Ray's own classes; a whole search on a Ray of its own is among the trials of `faults`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.workflows.search.direction import Direction
from nnunet_assets.workflows.search.tune_driver import DriverRequest, drive, scheduler
from nnunet_assets_tests.search_builders import begun_book, project_with_search

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("default")]


def asha(direction: Direction) -> Any:
    pytest.importorskip("ray.tune")
    return scheduler(direction)


def tune_trial(direction: Direction, name: str) -> Any:
    trial = direction.next_trial(name)
    assert trial
    return SimpleNamespace(trial_id=name, config={"number": trial.number})


def decision(made: Any, trial: Any, n_epochs: int, score: float) -> str:
    return str(made.on_trial_result(None, trial, {"epochs_trained": n_epochs, "pseudo_dice_ema": score}))


def test_a_trial_is_stopped_by_what_earlier_processes_saw_and_no_decision_is_taken_twice(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)  # compared after 2, 4 and 8 epochs, half of them go on
    book = begun_book(config, settings, [0.8] * 9, [0.7, 0.7], [0.3, 0.3, 0.3])
    book.end(0, "finished", 9)
    book.end(1, "stopped", 2)
    direction = Direction(book)
    made = asha(direction)
    trial = tune_trial(direction, "again")
    made.on_trial_add(None, trial)
    # Worse than both at epoch 2: that it went on was decided before.
    assert [decision(made, trial, n, 0.3) for n in (1, 2, 3)] == ["CONTINUE"] * 3
    assert decision(made, trial, 4, 0.3) == "STOP"
    assert (book.record.trials[2].state, book.record.trials[2].n_epochs) == ("stopped", 4)


def test_nobody_is_stopped_at_the_last_epoch_before_the_validation(tmp_path: Path) -> None:
    _, config, settings = project_with_search(
        tmp_path, budget="{trials: 4, max_epochs: 8, min_epochs: 4, reduction: 2.0}"
    )
    book = begun_book(config, settings, [0.9] * 8, [])
    book.end(0, "finished", 8)
    direction = Direction(book)
    made = asha(direction)
    trial = tune_trial(direction, "a")
    made.on_trial_add(None, trial)
    assert decision(made, trial, 8, 0.1) == "CONTINUE"


def test_without_min_epochs_nobody_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("ray.tune")
    _, config, settings = project_with_search(tmp_path, budget="{trials: 4, max_epochs: 8}")
    assert type(scheduler(Direction(begun_book(config, settings)))).__name__ == "FIFOScheduler"


def test_a_driver_that_is_started_again_does_not_go_on_in_a_space_that_was_changed_meanwhile(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1])
    project_with_search(tmp_path, space="{initial_lr: {log: [1.0e-3, 1.0e-1]}}")
    with pytest.raises(ConfigError, match=r"its space was changed while it ran\. Run it again with `--extend`"):
        drive(DriverRequest(tmp_path, config.of.dataset, config.name, is_tracked=False))
