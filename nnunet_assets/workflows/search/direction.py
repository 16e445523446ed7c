"""Which trial begins next, which is stopped and which is done: what Tune asks, answered from the book.

Tune's own state is thrown away with its process. All that matters of it is in the book and in the journals, from which
a new process makes the same again: Tune writes its state now and then, and names trials anew.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.search.trial_files import OF_THE_POINT, STOP_FILE, Trial
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.sampling import next_point

EPOCHS = "epochs_trained"
"""What Tune compares trials by: the number of epochs that a trial has trained, from 1."""

DONE = "done"
"""The word of Tune by which a trial says that a report is its last."""

ENDED, FAILURE, PROBLEM = "ended", "failure", "problem"
"""Of the last report of a trial: how it ended (`finished`, `failed`, `interrupted`), and why it failed."""

MOST_ALIKE = 3
"""After so many trials that failed alike it is not their points: the first ones, all given something wrong; or some in
a row, by a full disk, a cluster that does not answer."""


class Direction:
    """Directs the trials of a search.

    Args:
        book: Of the search.
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._waiting = [trial for trial in book.counted if trial.goes_on]
        self._numbers: dict[str, int] = {}
        self._curves = book.curves()
        self._seconds = sum(curve.seconds for curve in self._curves.values())
        self._seen = {number: curve.n_epochs for number, curve in self._curves.items()}
        self._failures: list[str | None] = []

    def next_trial(self, tune_id: str) -> Trial | None:
        """Returns the trial that begins or goes on as Tune's of that id; None: there is none any more."""
        config, record = self.book.config, self.book.record
        self.stop_where_hours_are_over()
        if self.stop_reason is not None:
            return None
        if self._waiting:
            trial = self._waiting.pop(0)
            if trial.state != "begun":
                self.book.begin_again(trial.number)
        elif len(self.book.counted) >= config.n_trials:
            return None
        else:
            point = next_point(
                self.book.space,
                config.sampler,
                config.seed,
                record.trials,
                self.book.curves(),
                at_once=config.budget.at_once,
            )
            if point is None:
                return None
            trial = self.book.begin(point)
        self._numbers[tune_id] = trial.number
        return trial

    def number_of(self, tune_id: str) -> int:
        """Returns the number of the trial that Tune calls so."""
        return self._numbers[tune_id]

    def earlier_scores(self, number: int) -> Iterator[tuple[int, float]]:
        """Yields the scores that a trial had when this process began, by number of epochs."""
        if number in self._curves:
            yield from self._curves[number].scores.items()

    def ended_before(self) -> Iterator[int]:
        """Yields the trials that had ended when this process began, and those that do not go on for another reason."""
        waiting = {trial.number for trial in self._waiting}
        yield from (number for number in self._curves if number not in waiting)

    def is_last_epoch(self, report: Mapping[str, Any]) -> bool:
        """Says whether a trial has nothing before it but its validation, so that nobody stops it any more."""
        return bool(report.get(EPOCHS, 0) >= self.book.config.budget.max_epochs)

    def reported(self, tune_id: str, report: Mapping[str, Any]) -> None:
        """Takes an epoch, and has the search end where its hours are over."""
        number = self.number_of(tune_id)
        if report.get(EPOCHS, 0) > self._seen.get(number, 0):
            self._seen[number] = report[EPOCHS]
            self._seconds += report.get("epoch_seconds") or 0.0
        self.stop_where_hours_are_over()

    def stop_where_hours_are_over(self) -> None:
        """Has the search end where its trials have taken as long as they may together."""
        hours = self.book.config.budget.hours
        if hours is not None and self._seconds > 3600 * hours:
            self.stop(
                f"the epochs of all trials have taken {self._seconds / 3600:.2g} hours, and budget.hours is {hours:g}"
            )

    def stopped(self, tune_id: str, report: Mapping[str, Any]) -> None:
        """Notes, before anything is ended, that a trial was worse than the others after so many epochs."""
        self.book.end(self.number_of(tune_id), "stopped", report[EPOCHS])
        self._failures.append(None)

    def completed(self, tune_id: str, report: Mapping[str, Any] | None, *, is_error: bool) -> None:
        """Takes how a trial ended; of one that was stopped it is noted already; one interrupted goes on."""
        number = self.number_of(tune_id)
        if self.book.record.trials[number].state != "begun":
            return
        how: Literal["finished", "failed", "interrupted"] = (report or {}).get(ENDED, "failed")
        n_epochs = self.book.curve(number).n_epochs
        if is_error:
            problem = "The process that supervised the trial ended again and again."
            self._failed(number, n_epochs, "killed", problem)
        elif how == "finished":
            self.book.end(number, "finished", n_epochs)
            self._failures.append(None)
        elif how == "failed" and report:
            self._failed(number, n_epochs, report[FAILURE], report[PROBLEM])

    def _failed(self, number: int, n_epochs: int, failure: str, problem: str) -> None:
        self.book.end(number, "failed", n_epochs, failure=failure, problem=problem)
        self._failures.append(failure)
        self._stop_where_all_fail()
        last = self._failures[-MOST_ALIKE:]
        if failure not in OF_THE_POINT and last == [failure] * MOST_ALIKE:
            self.stop(
                f"{MOST_ALIKE} trials in a row failed for a reason that is not their points' ({failure}): {problem}"
            )

    def stop(self, reason: str) -> None:
        """Has every trial end at once, and none begin."""
        if self.stop_reason is None:
            write_atomically(self.book.folder / STOP_FILE, reason.encode())

    @property
    def stop_reason(self) -> str | None:
        """Why the search is to end; None: it is not."""
        return stop_reason(self.book)

    def _stop_where_all_fail(self) -> None:
        ended = [trial for trial in self.book.counted if trial.state != "begun"]
        failures = {trial.failure for trial in ended}
        if len(ended) >= MOST_ALIKE and failures == {"bad_input"}:
            self.stop(f"each of the first {len(ended)} trials was given something wrong: {ended[-1].problem}")


def stop_reason(book: Book) -> str | None:
    """Returns why a search was asked to end; None: it was not."""
    try:
        return (book.folder / STOP_FILE).read_text(encoding="utf-8").strip() or "somebody asked for it"
    except FileNotFoundError:
        return None
