"""The book of a search that runs: its record, written before anything depends on it, and the curves of its trials."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.clock import now_ms
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.search.curve_files import Curve, CurveReader
from nnunet_assets.core.search.trial_files import (
    SearchRecord,
    Trial,
    TrialState,
    changed_fields,
    read_record,
    search_folder,
    write_record,
)
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import ConfigError, SearchError


class Book:
    """One process keeps it, which holds the search's lock or is the child of who does.

    Args:
        config: The search.
        roots: nnU-Net's folders.
        reader: Of the curves; one of its own, if none is given.

    Attributes:
        config: The search.
        record: As it is on the disk.
        folder: Where it lies.
        space: As it is declared now.

    Raises:
        DamagedFileError: As `read_record`.
        SearchError: There is no record.
        ConfigError: As `check_comparable`.
    """

    def __init__(self, config: SearchConfig, roots: Roots, reader: CurveReader | None = None) -> None:
        self.config, self.folder, self._roots = config, search_folder(roots, config.of.dataset, config.name), roots
        self.space = config.declared_space
        self._reader = reader or CurveReader()
        record = read_record(self.folder)
        if record is None:
            raise SearchError(f"{config.title} was not begun: {self.folder} holds no record of it.")
        check_comparable(config, record)
        self.record: SearchRecord = record

    @property
    def n_to_run(self) -> int:
        """How many trials are still to be trained, at most."""
        n_ended = sum(not trial.goes_on for trial in self.counted)
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

    @property
    def counted(self) -> list[Trial]:
        """The trials that count for how many there are to be: those that lie in the space as it is now.

        The others, of a space that was changed since, are compared and learnt from where they can be, and do not go on.
        """
        return [trial for trial in self.record.trials if self.space.holds(trial.point)]

    def fold_folder(self, number: int) -> Path:
        """Returns where the fold of a trial lies."""
        return trial_folder(self.config, self._roots, self.record.trials[number])

    def curve(self, number: int) -> Curve:
        """Returns what a trial has scored so far."""
        return self._reader.read(self.fold_folder(number))

    def curves(self) -> dict[int, Curve]:
        """Returns what all trials have scored so far."""
        return {trial.number: self.curve(trial.number) for trial in self.record.trials}

    def _keep(self, trial: Trial) -> None:
        self.record = self.record.with_trial(trial)
        write_record(self.folder, self.record)


def declared_of(config: SearchConfig) -> dict[str, object]:
    """Returns what makes trials comparable, and what decides which are stopped."""
    budget = config.budget
    return {
        **config.of.model_dump(exclude={"device"}),
        "fold": config.fold,
        "max_epochs": budget.max_epochs,
        "min_epochs": budget.min_epochs,
        "reduction": budget.reduction,
        "constants": dict(config.declared_space.constants),
    }


def check_comparable(config: SearchConfig, record: SearchRecord) -> None:
    """Checks that the trials of a record are those of a search as it is declared.

    Raises:
        ConfigError: It was changed under its trials.
    """
    changed = changed_fields(record.declared, declared_of(config)) if record.trials else []
    if changed:
        raise ConfigError(
            f"{config.title} was changed under its {len(record.trials)} trials: {', '.join(changed)}. They cannot be "
            "compared with what comes. Restore it, or give the search another name."
        )


def trial_folder(config: SearchConfig, roots: Roots, trial: Trial) -> Path:
    """Returns the folder of a trial's fold."""
    return config.trial(trial.number, trial.point).identity.fold_folder(roots, config.fold_key)
