"""A search is run: what is refused at once, the driver beside this process, and what a person is told meanwhile."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from nnunet_assets.core.files.kernel_lock import held_alone
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.search.curve_files import Curve, CurveReader
from nnunet_assets.core.search.trial_files import (
    STOP_FILE,
    SearchRecord,
    Trial,
    TrialState,
    changed_fields,
    read_record,
    search_folder,
    write_record,
)
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.declarations.engine_file import declared_engine
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import ConfigError, SearchError, did_you_mean
from nnunet_assets.processes.child import ChildResult, run_child
from nnunet_assets.processes.exit_codes import FailureClass
from nnunet_assets.processes.supervisor import Cure, run_with_restarts
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold.start import prepared_request
from nnunet_assets.workflows.fold.train import AskedNow
from nnunet_assets.workflows.search.book import Book, check_comparable, declared_of
from nnunet_assets.workflows.search.cost import missing_packages, search_cost
from nnunet_assets.workflows.search.direction import Direction, stop_reason
from nnunet_assets.workflows.search.trial import DRIVER_FOLDER
from nnunet_assets.workflows.search.tune_driver import RAY_VARIABLES, DriverRequest

DRIVER_MODULE = "nnunet_assets.workflows.search.tune_driver"
LOCK_FILE = "search.lock"
LOOK_SECONDS = 1.0

CURES: Mapping[FailureClass, Cure] = {FailureClass.KILLED: "as it was", FailureClass.OUT_OF_MEMORY: "as it was"}
"""Of the driver: all that it knows is on the disk."""


@dataclass(frozen=True)
class SearchEnd:
    """How a run of a search ended.

    Attributes:
        config: The search.
        book: Its record and the curves of its trials.
        reason: Why it ended before its trials were done; None: they are.
    """

    config: SearchConfig
    book: Book
    reason: str | None

    @property
    def is_complete(self) -> bool:
        """Whether every trial has ended."""
        return self.book.n_to_run == 0


def search_named(project: Project, name: str) -> SearchConfig:
    """Returns the declared search of that name, or `DATASET/NAME` where several have it.

    Raises:
        ConfigError: There is none, or several have it.
    """
    titles = {f"{one.of.dataset}/{one.name}": one for one in project.searches}
    found = [one for title, one in titles.items() if name in (title, one.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"Several datasets have a search {name}. Name one of {', '.join(titles)}.")
    near = did_you_mean(name, [one.name for one in project.searches])
    raise ConfigError(f"{project.root} declares no search {name!r}.{near} There are: {', '.join(titles) or 'none'}.")


def run_search(
    settings: Settings,
    project: Project,
    config: SearchConfig,
    progress: Progress,
    *,
    is_tracked: bool = True,
    extends: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> SearchEnd:
    """Runs a search to its end, from where it is.

    Args:
        settings: Of the project.
        project: What it declares.
        config: The search.
        progress: Hears what becomes of each trial.
        is_tracked: Whether the trials go to MLflow.
        extends: Go on with another space than trials were begun in, by the user's word.
        environment: Of the driver, over the settings' variables.

    Raises:
        ConfigError: Ray is not installed, or the search was changed under its trials.
        SearchError: Another process runs it, or its driver ended without a result.
        NnunetAssetsError: As `prepared_request`.
    """
    if missing := missing_packages():
        raise ConfigError(missing)
    folder = search_folder(settings.roots, config.of.dataset, config.name)
    taken = SearchError(f"Another process runs the {config.title}. Wait for it, or end it.")
    with held_alone(folder / LOCK_FILE, taken):
        cost = search_cost(settings, config)
        progress.say(f"{config.title}: {config.declared_space}. {cost}.")
        if cost.is_too_little:
            epochs = count_text(cost.max_epochs, "epoch")
            raise ConfigError(
                f"{config.title}: budget.hours is {config.budget.hours:g}, and the {epochs} of one "
                f"trial take {cost.max_epochs * (cost.epoch_seconds or 0) / 3600:.2g}. Allow more."
            )
        _check_cluster(settings, config)
        record = _begun(settings, project, config, progress, extends=extends)
        if record != read_record(folder):
            write_record(folder, record)
        (folder / STOP_FILE).unlink(missing_ok=True)
        direction = Direction(Book(config, settings.roots))
        direction.stop_where_hours_are_over()
        if direction.book.n_to_run and direction.stop_reason is None:
            _drive(settings, config, folder, progress, is_tracked=is_tracked, environment=environment)
        book = Book(config, settings.roots)
        return SearchEnd(config, book, stop_reason(book) or _to_try_again(book))


def _to_try_again(book: Book) -> str | None:
    """Returns which trials failed for a reason that may be gone, in a sentence without its end; None: none."""
    failed = [trial for trial in book.counted if trial.state == "failed" and trial.goes_on]
    if not failed or not book.n_to_run:
        return None
    trials = f"trial {failed[0].number}" if len(failed) == 1 else f"{len(failed)} trials"
    reasons = ", ".join(dict.fromkeys(str(trial.failure) for trial in failed))
    return f"{trials} failed for a reason that may be gone ({reasons}); the next run goes on with what is left"


def _check_cluster(settings: Settings, config: SearchConfig) -> None:
    declared = declared_engine(settings.project, config.trial(0, {}))
    is_named = settings.variables.get("RAY_ADDRESS") or declared.address not in (None, "auto")
    if declared.chosen == "ray" and not is_named:
        raise ConfigError(
            f"{config.title}: its trials train in tasks of a Ray cluster, and the search has a Ray of its own beside "
            "them: say which cluster is meant, by `address` in engine.yaml or `each`, or by RAY_ADDRESS."
        )


def _begun(
    settings: Settings, project: Project, config: SearchConfig, progress: Progress, *, extends: bool
) -> SearchRecord:
    """Returns the record to go on with; prepares the data that the trials are trained on.

    Raises:
        ConfigError: The search was changed under its trials.
    """
    folder = search_folder(settings.roots, config.of.dataset, config.name)
    there = read_record(folder)
    now = SearchRecord(declared_of(config), dict(config.space), {})
    if there and there.trials:
        check_comparable(config, there)
        _check_space(config, there, now, extends=extends)
    request = prepared_request(settings, project, config.trial(0, {}), config.fold_key, AskedNow(), progress=progress)
    inputs = {name: value for name, value in vars(request.inputs).items() if name != "training_hash"}
    if not there or not there.trials:
        return replace(now, inputs=inputs)
    if changed := changed_fields(there.inputs, inputs):
        names = " and ".join(text.partition(" ")[0].removesuffix("_hash") for text in changed)
        raise ConfigError(
            f"{config.title}: its {len(there.trials)} trials were trained on other {names} than there are now, and "
            "scores on different data are not compared. Restore them, or give the search another name."
        )
    is_other = there.space != now.space
    return replace(there, space=now.space, extended=there.extended + is_other)


def _check_space(config: SearchConfig, there: SearchRecord, now: SearchRecord, *, extends: bool) -> None:
    if there.space != now.space and not extends:
        names = [name for name in {**there.space, **now.space} if there.space.get(name) != now.space.get(name)]
        raise ConfigError(
            f"{config.title}: the space was changed under its {len(there.trials)} trials ({', '.join(names)}). "
            "Restore it, give the search another name, or go on in the new space with `--extend` (`extend: true` in "
            "the run's config); the trials so far stay, and count where they lie in it."
        )


def _drive(
    settings: Settings,
    config: SearchConfig,
    folder: Path,
    progress: Progress,
    *,
    is_tracked: bool,
    environment: Mapping[str, str],
) -> None:
    driver = folder / DRIVER_FOLDER
    driver.mkdir(parents=True, exist_ok=True)
    request = DriverRequest(settings.project, config.of.dataset, config.name, is_tracked)
    shared = {FOLDS_AT_ONCE_VARIABLE: str(config.budget.at_once)}
    lines = TrialLines(config, settings, progress)

    def start(_: int) -> ChildResult:
        return run_child(
            DRIVER_MODULE,
            request,
            folder=driver,
            environment={**shared, **settings.variables, **environment, **RAY_VARIABLES},
            on_poll=lines.show_new,
        )

    def n_epochs() -> int:
        return sum(curve.n_epochs for curve in Book(config, settings.roots).curves().values())

    result = run_with_restarts(
        start, own_folder=driver, is_done=lambda: False, progress=progress, n_saved=n_epochs, cures=CURES
    )
    lines.show_new(at_once=True)
    if result.problem:
        raise SearchError(
            f"{config.title}: its driver ended: {result.problem} What it printed is in {driver}. `nnunet-assets search "
            f"run {config.name}` goes on with the same trials."
        )


def trial_in_words(trial: Trial, curve: Curve) -> str:
    """Returns what a person follows of a trial, behind its number: `is stopped after epoch 9: pseudo Dice 0.7123`."""
    score = f"pseudo Dice {curve.last[1]:.4f}" if curve.last else "no pseudo Dice"
    epochs = count_text(trial.n_epochs, "epoch")
    match trial.state:
        case "begun":
            values = ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in trial.point.items()
            )
            begins = f"goes on after {count_text(curve.n_epochs, 'epoch')}" if curve.n_epochs else "begins"
            return f"{begins}: {values}."
        case "finished":
            return f"is finished: {score} at its last epoch."
        case "stopped":
            return f"is stopped after {epochs}: {score}."
        case "failed":
            return f"failed ({trial.failure}) after {epochs}: {trial.problem}"


class TrialLines:
    """Tells of each trial that begins or ends, and counts the epochs of all.

    Args:
        config: The search.
        settings: Of the project.
        progress: Is told.
    """

    def __init__(self, config: SearchConfig, settings: Settings, progress: Progress) -> None:
        self._config, self._settings, self._progress, self._reader = config, settings, progress, CurveReader()
        book = Book(config, settings.roots, self._reader)
        self._seen: dict[int, TrialState] = {
            trial.number: trial.state for trial in book.record.trials if trial.state != "begun"
        }
        self._next_look = 0.0

    def show_new(self, *, at_once: bool = False) -> None:
        """Looks, unless it did so a moment ago."""
        self._progress.poll()
        if time.monotonic() < self._next_look and not at_once:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        book, budget, n_done = Book(self._config, self._settings.roots, self._reader), self._config.budget, 0
        counted = {trial.number for trial in book.counted}
        for trial in book.record.trials:
            curve = book.curve(trial.number)
            if self._seen.get(trial.number) != trial.state:
                self._seen[trial.number] = trial.state
                self._progress.relay(f"Trial {trial.number} {trial_in_words(trial, curve)}")
            # What stopped trials do not need any more counts as done.
            if trial.number in counted:
                n_done += curve.n_epochs if trial.goes_on else budget.max_epochs
        self._progress.step("epochs trained or spared", n_done, self._config.n_trials * budget.max_epochs)
