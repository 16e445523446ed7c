"""What became of the trials of a search: the record by which it goes on after a kill, with the same trials.

On disk: `searches/NAME/search.json` beside the comparison of the dataset. A trial is in it, with its number and its
point, before anything of it begins, and how it ended before another takes its place. What it scored, epoch by epoch,
stands in the journal of its fold and nowhere else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from nnunet_assets.core.files.json_file import JsonError, write_json_atomically
from nnunet_assets.core.files.layout import Roots, comparison_folder
from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets.errors import DamagedFileError

TrialState = Literal["begun", "finished", "stopped", "failed"]
STATES: tuple[TrialState, ...] = get_args(TrialState)

RECORD_FILE, STOP_FILE = "search.json", "STOP"
SEARCHES_FOLDER = "searches"

OF_THE_POINT = frozenset({"diverged", "out_of_gpu_memory", "bad_input"})
"""Failures that would come again: they are results of the trial. After others it is tried again."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: From 0, in the order in which they began.
        point: Setting to value, what is varied.
        begun_ms: When it was drawn, in milliseconds since 1970-01-01 UTC.
        state: `begun`: it trains, or waits to go on; `finished`: to its last epoch, and validated; `stopped`: the
            worse of those that were compared after `n_epochs`; `failed`: see `failure`.
        n_epochs: How many it had trained when it ended.
        failure: The class of a failure; None: it did not fail.
        problem: What happened then, in a sentence.
    """

    number: int
    point: Mapping[str, Any]
    begun_ms: int
    state: TrialState = "begun"
    n_epochs: int = 0
    failure: str | None = None
    problem: str | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it is still to be trained, or tried again."""
        return self.state == "begun" or (self.state == "failed" and self.failure not in OF_THE_POINT)


@dataclass(frozen=True)
class SearchRecord:
    """A search and its trials.

    Attributes:
        declared: What makes its trials comparable, as it was declared, by field.
        space: What was varied, as it was declared last.
        inputs: Digests of what its trials are trained on, by name.
        trials: By number.
        extended: How often the space was changed after trials had begun.
    """

    declared: Mapping[str, Any]
    space: Mapping[str, Any]
    inputs: Mapping[str, str]
    trials: tuple[Trial, ...] = ()
    extended: int = 0

    def with_trial(self, trial: Trial) -> "SearchRecord":
        """Returns it with a trial as it is now, or a new one."""
        others = [one for one in self.trials if one.number != trial.number]
        return replace(self, trials=tuple(sorted([*others, trial], key=lambda one: one.number)))


def search_folder(roots: Roots, dataset: str, name: str) -> Path:
    """Returns where a search's record, table and page lie."""
    return comparison_folder(roots, dataset) / SEARCHES_FOLDER / name


def read_record(folder: Path) -> SearchRecord | None:
    """Returns the record of a search; None: it was not begun.

    Raises:
        DamagedFileError: It cannot be read.
    """
    file = folder / RECORD_FILE
    try:
        return dataclass_from_json(SearchRecord, file.read_bytes())
    except FileNotFoundError:
        return None
    except JsonError as error:
        raise DamagedFileError(
            f"{file} is no record of a search ({error}). Restore it; or move its folder away and begin under another "
            "name, since the trials that it knew are there."
        ) from error


def write_record(folder: Path, record: SearchRecord) -> None:
    """Writes the record whole, on the disk when this returns."""
    write_json_atomically(folder / RECORD_FILE, dataclass_to_json(record))


def changed_fields(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns in what two declarations differ, in words: `fold (0, now 1)`."""
    names: Iterable[str] = dict.fromkeys((*was, *now))
    return [f"{name} ({was.get(name)}, now {now.get(name)})" for name in names if was.get(name) != now.get(name)]
