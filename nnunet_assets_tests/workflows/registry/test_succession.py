"""Who follows the champion, where others decide at the same moment."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nnunet_assets.core.model.model_address import CHAMPION
from nnunet_assets.core.registry.gate import RULES, Verdict
from nnunet_assets.errors import TrackingError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import registry_lock
from nnunet_assets.tracking.registry.registration import move_alias, register_package
from nnunet_assets.tracking.registry.versions import RegisteredVersion, list_versions
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry import succession
from nnunet_assets.workflows.registry.succession import ATTEMPTS, champion_of, deciding, succeed
from nnunet_assets_tests.registry_builders import MODEL, registration, run_in, versions_without_files, write_package
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, MlflowServer

pytestmark = MLFLOW_WARNINGS

KEPT = [Verdict(rule, True, "Kept.") for rule in RULES]


@pytest.fixture
def destination(with_store: Settings) -> Destination:
    return Destination.of(with_store)


def name_champion(destination: Destination, version: int) -> None:
    """Names a champion as another machine does: nothing of this one's locks is held."""
    connect(destination).set_registered_model_alias(MODEL, CHAMPION, str(version))


def number(version: RegisteredVersion | None) -> int | None:
    return version.version if version else None


def test_whoever_became_champion_while_a_version_was_judged_is_what_it_is_judged_against_next(
    destination: Destination,
) -> None:
    versions_without_files(destination, 3)
    name_champion(destination, 1)
    seen: list[int | None] = []

    def judge(champion: RegisteredVersion | None) -> Sequence[Verdict]:
        seen.append(number(champion))
        if len(seen) == 1:
            name_champion(destination, 2)
        return KEPT

    found = succeed(destination, MODEL, 3, judge)
    assert (seen, number(found.before), found.is_champion) == ([1, 2], 2, True)
    assert number(champion_of(destination, MODEL)) == 3


def test_a_version_that_does_not_bear_the_second_look_leaves_the_other_machines_champion(
    destination: Destination,
) -> None:
    versions_without_files(destination, 3)

    def judge(champion: RegisteredVersion | None) -> Sequence[Verdict]:
        if champion is None:
            name_champion(destination, 2)
            return KEPT
        return [*KEPT[:-1], Verdict("not_inferior", False, "Worse than version 2.")]

    found = succeed(destination, MODEL, 3, judge)
    assert (number(found.before), found.is_champion) == (2, False)
    assert number(champion_of(destination, MODEL)) == 2


def test_one_that_wrote_in_the_same_moment_stays_and_is_judged_against(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions_without_files(destination, 3)
    seen: list[int | None] = []

    def overtaken(where: Destination, name: str, alias: str, version: int, *, seen: int | None) -> int | None:
        found = move_alias(where, name, alias, version, seen=seen)
        if seen is None:
            name_champion(where, 2)  # after our alias, before it was read back
            return 2
        return found

    def judge(champion: RegisteredVersion | None) -> Sequence[Verdict]:
        seen.append(number(champion))
        return KEPT

    monkeypatch.setattr(succession, "move_alias", overtaken)
    assert succeed(destination, MODEL, 3, judge).is_champion
    assert seen == [None, 2]


def test_where_others_never_cease_it_stays_challenger_with_a_sentence(destination: Destination) -> None:
    versions_without_files(destination, 4)
    n_judged = 0

    def judge(_champion: RegisteredVersion | None) -> Sequence[Verdict]:
        nonlocal n_judged
        n_judged += 1
        name_champion(destination, 1 + n_judged % 2)
        return KEPT

    found = succeed(destination, MODEL, 4, judge)
    assert (found.is_champion, n_judged) == (False, ATTEMPTS)
    (reason,) = (one.sentence for one in found.verdicts if not one.passed)
    assert reason.startswith(f"Other machines named a champion {ATTEMPTS} times")
    assert len(found.verdicts) == len(RULES)


def test_an_older_version_follows_a_newer_champion_by_a_persons_word_alone(destination: Destination) -> None:
    versions_without_files(destination, 2)
    name_champion(destination, 2)
    assert not succeed(destination, MODEL, 1, lambda _: KEPT).is_champion
    assert succeed(destination, MODEL, 1, lambda _: KEPT, may_be_older=True).is_champion
    assert succeed(destination, MODEL, 1, lambda _: []).is_champion  # it is already, whatever is found now


def test_two_that_are_judged_at_once_on_one_machine_are_judged_one_after_the_other(destination: Destination) -> None:
    versions_without_files(destination, 2)
    second_waits, seen = threading.Event(), dict[int, int | None]()

    def decide(version: int, before: Callable[[], object] = lambda: None) -> None:
        def judge(champion: RegisteredVersion | None) -> Sequence[Verdict]:
            seen[version] = number(champion)
            before()
            return KEPT

        with deciding(destination, MODEL):
            succeed(destination, MODEL, version, judge)

    second = threading.Thread(target=lambda: (second_waits.set(), decide(2)))

    def while_the_first_is_judged() -> None:
        second.start()
        second_waits.wait(10)
        assert 2 not in seen

    decide(1, while_the_first_is_judged)
    second.join()
    assert seen == {1: None, 2: 1}


def test_who_decides_for_too_long_is_named(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(succession, "_WAIT_SECONDS", 0.1)
    problems: list[Exception] = []

    def waits() -> None:
        try:
            with deciding(destination, MODEL):
                raise AssertionError
        except TrackingError as error:
            problems.append(error)

    with deciding(destination, MODEL):
        thread = threading.Thread(target=waits)
        thread.start()
        thread.join()
    assert "Another process decides on the champion of 'Tiny liver'" in str(problems[0])
    assert str(registry_lock.lock_of_model(destination, MODEL)) in str(problems[0])


CODE = """
import sys
from pathlib import Path
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.succession import deciding, succeed
from nnunet_assets_tests.registry_builders import MODEL
from nnunet_assets_tests.workflows.registry.test_succession import KEPT

uri, artifacts, version = sys.argv[1:]
destination = Destination(uri, Path(artifacts))
with deciding(destination, MODEL):
    found = succeed(destination, MODEL, int(version), lambda _: KEPT, may_be_older=True)
print(found.before.version if found.before else 0, found.is_champion)
"""


def decide_at_once(destination: Destination, versions: Sequence[int]) -> dict[int, int]:
    """Has a process a version name it champion; returns which version each was judged against, 0: none."""
    place = [destination.tracking_uri, str(destination.artifacts)]
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CODE, *place, str(version)], stdout=subprocess.PIPE, text=True
        )
        for version in versions
    ]
    said = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * len(versions)
    assert {is_champion for _, is_champion in said} == {"True"}
    return {version: int(before) for version, (before, _) in zip(versions, said, strict=True)}


def check_that_each_followed_another(destination: Destination, judged_against: dict[int, int]) -> None:
    """No two may have been judged against the same champion: the second would not know of the first."""
    line, version = [], number(champion_of(destination, MODEL))
    while version:
        line.append(version)
        version = judged_against.get(version)
    assert sorted(line) == sorted(judged_against)


@pytest.mark.faults
def test_of_ten_processes_at_once_each_is_judged_against_the_one_before_on_sqlite(destination: Destination) -> None:
    versions_without_files(destination, 10)
    check_that_each_followed_another(destination, decide_at_once(destination, range(1, 11)))


@pytest.mark.faults
def test_of_six_processes_at_once_each_is_judged_against_the_one_before_on_a_server(tmp_path: Path) -> None:
    server = MlflowServer(tmp_path)
    server.start()
    try:
        destination = Destination(server.uri, tmp_path / "data" / "artifacts")
        run_id = run_in(destination)
        for k in range(6):
            register_package(destination, registration(write_package(tmp_path / f"p{k}", f"weights {k}"), run_id))
        assert [one.version for one in list_versions(destination, MODEL)] == [6, 5, 4, 3, 2, 1]
        check_that_each_followed_another(destination, decide_at_once(destination, range(1, 7)))
    finally:
        server.kill()
