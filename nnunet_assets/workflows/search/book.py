"""The book of a search that runs: its record, written before anything depends on it, and the curves of its trials."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.clock import now_ms
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.search.curves import Curve
from nnunet_assets.core.search.trial_files import (
    SearchRecord,
    Trial,
    TrialState,
    read_record,
    search_folder,
    write_record,
)
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import SearchError


class Book:
    """One process keeps it, which holds the search's lock or is the child of who does.

    Args:
        config: The search.
        roots: nnU-Net's folders.

    Attributes:
        config: The search.
        record: As it is on the disk.
        folder: Where it lies.

    Raises:
        DamagedFileError: As `read_record`.
        SearchError: There is no record.
    """

    def __init__(self, config: SearchConfig, roots: Roots) -> None:
        self.config, self.folder, self._roots = config, search_folder(roots, config.of.dataset, config.name), roots
        record = read_record(self.folder)
        if record is None:
            raise SearchError(f"{config.title} was not begun: {self.folder} holds no record of it.")
        self.record: SearchRecord = record

    @property
    def n_to_run(self) -> int:
        """How many trials are still to be trained, at most."""
        n_ended = sum(not trial.goes_on for trial in self.record.trials)
        return max(0, self.config.n_trials - n_ended)

    def begin(self, point: Mapping[str, Any]) -> Trial:
        """Returns a new trial, which is on the disk then."""
        trial = Trial(len(self.record.trials), point, now_ms())
        self._keep(trial)
        return trial

    def end(
        self,
        number: int,
        state: TrialState,
        n_epochs: int,
        *,
        failure: str | None = None,
        problem: str | None = None,
    ) -> None:
        """Notes how a trial ended."""
        trial = self.record.trials[number]
        self._keep(replace(trial, state=state, n_epochs=n_epochs, failure=failure, problem=problem))

    def begin_again(self, number: int) -> None:
        """Notes that a trial goes on that had failed for a reason that may be gone."""
        self.end(number, "begun", 0)

    def fold_folder(self, number: int) -> Path:
        """Returns where the fold of a trial lies."""
        return trial_folder(self.config, self._roots, self.record.trials[number])

    def curve(self, number: int) -> Curve:
        """Returns what a trial has scored so far."""
        return Curve.read(self.fold_folder(number))

    def curves(self) -> dict[int, Curve]:
        """Returns what all trials have scored so far."""
        return {trial.number: self.curve(trial.number) for trial in self.record.trials}

    def _keep(self, trial: Trial) -> None:
        self.record = self.record.with_trial(trial)
        write_record(self.folder, self.record)


def trial_folder(config: SearchConfig, roots: Roots, trial: Trial) -> Path:
    """Returns the folder of a trial's fold."""
    return config.trial(trial.number, trial.point).identity.fold_folder(roots, config.fold_key)
