"""Events of a run while its database is away: lines wait, what says how the run is waits longer, nothing is lost."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.resources import patient_events
from nnunet_assets.resources.patient_events import PatientEvents, is_away

psycopg2 = pytest.importorskip("psycopg2")


def line(text: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(None, 20, text, "run", 0.0)


def step(text: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(None, 20, text, "run", 0.0, dagster_event=dg.DagsterEvent("STEP_START", "job"))


class Database:
    """Takes events, unless it is away."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.is_away = False
        self.n_asked = 0

    def write(self, event: dg.EventLogEntry, *, batch_metadata: Any = None) -> None:
        self.n_asked += 1
        if self.is_away:
            try:
                raise psycopg2.errors.AdminShutdown("terminating connection due to administrator command")
            except psycopg2.Error as error:
                raise RuntimeError("too many retries for DB connection") from error
        self.taken.append(event.user_message)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_events, "PAUSE_SECONDS", 0.0)


def patient(database: Database, pause: Callable[[float], object] = lambda _: None) -> PatientEvents:
    return PatientEvents(database.write, pause)


@pytest.mark.usefixtures("no_pause")
def test_lines_are_kept_while_nobody_takes_them_and_come_in_their_order() -> None:
    database = Database()
    events = patient(database)
    events.handle(line("epoch 1"))
    database.is_away = True
    events.handle(line("epoch 2"))
    events.handle(line("epoch 3"))
    assert database.taken == ["epoch 1"]
    database.is_away = False
    events.handle(line("epoch 4"))
    assert database.taken == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]


def test_a_line_does_not_ask_a_database_that_was_away_a_moment_ago() -> None:
    database = Database()
    events = patient(database)
    database.is_away = True
    for number in range(50):
        events.handle(line(str(number)))
    assert database.n_asked == 1


def test_what_says_how_the_run_is_waits_until_it_is_written_behind_the_lines_before() -> None:
    database = Database()
    waited: list[float] = []

    def comes_back(seconds: float) -> None:
        waited.append(seconds)
        database.is_away = len(waited) < 3

    events = patient(database, comes_back)
    database.is_away = True
    events.handle(line("the last epoch"))
    events.handle(step("the step succeeded"))
    assert database.taken == ["the last epoch", "the step succeeded"]
    assert len(waited) == 3


def test_after_a_day_the_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_events, "LONGEST_SECONDS", -1.0)
    database = Database()
    database.is_away = True
    with pytest.raises(RuntimeError, match="too many retries"):
        patient(database).handle(step("the step succeeded"))


def test_who_interrupts_a_run_that_waits_need_not_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_events, "ENDING_SECONDS", -1.0)
    database = Database()
    database.is_away = True

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    events = patient(database, interrupted)
    with pytest.raises(KeyboardInterrupt):
        events.handle(step("the step succeeded"))
    with pytest.raises(RuntimeError, match="too many retries"):
        events.handle(step("the step failed"))


def test_an_event_that_no_database_takes_is_no_matter_of_waiting() -> None:
    def refuse(event: dg.EventLogEntry, *, batch_metadata: Any = None) -> None:
        raise psycopg2.errors.UntranslatableCharacter("unsupported Unicode escape sequence")

    with pytest.raises(psycopg2.errors.UntranslatableCharacter):
        PatientEvents(refuse).handle(step("x"))
    assert not is_away(ValueError())


def test_an_instance_in_files_is_left_as_it_is() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        before = instance.handle_new_event
        patient_events.be_patient(instance)
        assert instance.handle_new_event == before
