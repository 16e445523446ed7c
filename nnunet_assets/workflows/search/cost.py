"""What a search may cost, said before it starts: trials, epochs, and hours by what epochs of its kind have taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.search.space import rungs
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.declarations.engine_file import declared_engine
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.settings import Settings

MOST_FOLDS = 20
"""Folds that are looked at for how long an epoch takes; the last ones."""


PACKAGES = {"ray": "Ray Tune", "optuna": "Optuna"}


def missing_packages() -> str | None:
    """Returns what is not installed of what a search needs, and how to get it; None: nothing."""
    missing = [title for module, title in PACKAGES.items() if find_spec(module) is None]
    if not missing:
        return None
    return f"A search needs {' and '.join(missing)}, not installed here: pip install 'nnunet_assets[search]'."


@dataclass(frozen=True)
class SearchCost:
    """The most that a search may take.

    Attributes:
        n_points: Of its space; None: more than can be counted.
        n_trials: That are trained.
        n_epochs: At most, of all of them together.
        stopped_at: After how many epochs trials are compared, and the worse ones stopped.
        epoch_seconds: Of one epoch, by folds of the same dataset and configuration; None: none was trained.
        hours: What the declaration allows; None: no limit.
        max_epochs: Of one trial.
        gpus: That each trial is given.
    """

    n_points: int | None
    n_trials: int
    n_epochs: int
    stopped_at: tuple[float, ...]
    epoch_seconds: float | None
    hours: float | None
    max_epochs: int
    gpus: float

    @property
    def most_hours(self) -> float | None:
        """GPU hours, or hours where a trial has no GPU, at most; None: not known."""
        if self.epoch_seconds is None:
            return None if self.hours is None else self.hours * (self.gpus or 1)
        wanted = self.n_epochs * self.epoch_seconds / 3600
        return min(wanted, self.hours or wanted) * (self.gpus or 1)

    @property
    def is_too_little(self) -> bool:
        """Whether the hours are known not to be enough for one trial."""
        if self.hours is None or self.epoch_seconds is None:
            return False
        return self.max_epochs * self.epoch_seconds / 3600 > self.hours

    def __str__(self) -> str:
        """Returns it for people."""
        points = "more points than can be counted" if self.n_points is None else f"{self.n_points} points"
        stops = ", ".join(f"{epochs:g}" for epochs in self.stopped_at)
        stopped = f", compared after {stops}" if stops else ""
        unit = "GPU hours" if self.gpus else "hours"
        hours = "" if self.most_hours is None else f", at most {self.most_hours:.2g} {unit}"
        known = "" if self.epoch_seconds or self.hours else "; how long an epoch takes is not known yet"
        each = count_text(self.max_epochs, "epoch")
        return (
            f"{self.n_trials} trials of {points}, each of {each}{stopped}: at most {self.n_epochs:,} "
            f"epochs{hours}{known}"
        )


def search_cost(settings: Settings, config: SearchConfig) -> SearchCost:
    """Returns the most that a search may cost, without its trials' validation.

    Raises:
        ConfigError: As `declared_engine`.
    """
    budget, space = config.budget, config.declared_space
    stops = rungs(budget.min_epochs, budget.max_epochs, budget.reduction) if budget.min_epochs else []
    seconds = [*_epoch_seconds(settings, config)]
    return SearchCost(
        n_points=space.n_points,
        n_trials=config.n_trials,
        n_epochs=config.n_trials * budget.max_epochs,
        stopped_at=tuple(stops),
        epoch_seconds=median(seconds) if seconds else None,
        hours=budget.hours,
        max_epochs=budget.max_epochs,
        gpus=_gpus(settings, config),
    )


def _gpus(settings: Settings, config: SearchConfig) -> float:
    trial = config.trial(0, {})
    engine = declared_engine(settings.project, trial)
    device = "cpu" if trial.device == "mps" else trial.device
    return engine.resources(device=device, num_gpus=trial.num_gpus).gpus


def _epoch_seconds(settings: Settings, config: SearchConfig) -> Iterator[float]:
    """Yields how long the last epoch took of folds of the same dataset, plans and configuration, of any variant."""
    # Plans that are derived, for another batch or patch, begin with the name of those that they are derived from.
    model = f"*__{config.of.plans}*__{config.of.configuration}"
    roots = settings.roots.results
    patterns = (f"{config.of.dataset}/{model}/fold_*", f"variants/*/{config.of.dataset}/{model}/fold_*")
    folders = sorted((folder for pattern in patterns for folder in roots.glob(pattern)), key=_age)
    for folder in folders[-MOST_FOLDS:]:
        values = [record.values.get("epoch_seconds") for record in read_records(journal_path(folder))]
        known = [seconds for seconds in values if seconds is not None]
        if known:
            yield float(known[-1])


def _age(folder: Path) -> float:
    journal = journal_path(folder)
    return journal.stat().st_mtime if journal.exists() else 0.0
