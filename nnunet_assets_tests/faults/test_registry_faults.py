"""A registry in trouble, asked by real processes: kills, ten writers at once, servers that die, are slow or silent."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from nnunet_assets.core.model.package_files import package_digest
from nnunet_assets.tracking.registry.left_models import left_models
from nnunet_assets.tracking.registry.registration import register_package, set_alias
from nnunet_assets.tracking.registry.versions import list_versions
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.registry_builders import MODEL, registration, run_in, write_package
from nnunet_assets_tests.tracking.servers import (
    MLFLOW_WARNINGS,
    Answer,
    MlflowServer,
    Request,
    answering,
    forwarded,
    serving,
    silent,
)

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

N_KILLS = 20

REGISTER = """
import sys
from pathlib import Path
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.registry.registration import register_package
from nnunet_assets_tests.registry_builders import registration

uri, artifacts, package, run_id = sys.argv[1:]
try:
    register_package(Destination(uri, Path(artifacts)), registration(Path(package), run_id))
except NnunetAssetsError as error:
    sys.exit(f"Error: {error}")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    (tmp_path / "server").mkdir()
    server = MlflowServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["sqlite", "server"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    write_project(tmp_path, {})
    (tmp_path / "data").mkdir()
    is_served = request.param == "server"
    uri = request.getfixturevalue("server").uri if is_served else f"sqlite:///{tmp_path}/data/mlflow.db"
    return Destination(uri, tmp_path / "data" / "artifacts")


def command(destination: Destination, *words: str) -> list[str]:
    program = str(Path(sys.executable).with_name("nnunet-assets"))
    project = str(destination.artifacts.parent.parent)
    return [program, words[0], "--project", project, "--tracking-uri", destination.tracking_uri, *words[1:]]


def start(folder: Path, words: Sequence[str], **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        words,
        env={**os.environ, **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def registering(destination: Destination, package: Path, run_id: str, **variables: str) -> "subprocess.Popen[str]":
    place = [destination.tracking_uri, str(destination.artifacts), str(package), run_id]
    # Where this package of tests is found.
    return start(Path(__file__).parents[2], [sys.executable, "-W", "ignore", "-c", REGISTER, *place], **variables)


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Waits for a process; returns its exit code and what it printed."""
    printed, _ = process.communicate(timeout=600)
    return process.returncode, printed


def stored_models(folder: Path) -> set[str]:
    """Returns the ids of the logged models of which files lie below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {part for path in files for part in path.parts if part.startswith("m-")}


def test_a_clearing_that_is_killed_at_random_moments_is_finished_by_the_next(
    destination: Destination, tmp_path: Path, said: Callable[..., None]
) -> None:
    moments, run_id, n_left = random.Random(11), run_in(destination), 0
    kept = register_package(destination, registration(write_package(tmp_path / "kept", "kept"), run_id))
    set_alias(destination, MODEL, "champion", kept.version)
    clear = command(destination, "models", "--clear", "--yes")
    locks = tmp_path / "data" / "model_uploads"
    n = 0
    for _ in range(N_KILLS):
        while len(list_versions(destination)) < 4:
            n += 1
            register_package(destination, registration(write_package(tmp_path / f"p{n}", f"weights {n}"), run_id))
        for lock in locks.glob("*.lock"):
            lock.unlink()
        process = start(tmp_path, clear)
        while process.poll() is None and not any(locks.glob("*.lock")):
            time.sleep(0.002)  # until the first package is held, to be cleared
        time.sleep(moments.choice([0.02, 0.2, 1.0]) * moments.random())
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        end(process)
        n_left += len(left_models(destination))
        assert kept.version in [one.version for one in list_versions(destination)]
    _, printed = end(start(tmp_path, command(destination, "models", "--clear", "--dry-run", "--json")))
    wanted = json.loads(printed[printed.index("{") :])
    assert {one["model_id"] for one in wanted["left"]} == {one.model_id for one in left_models(destination)}
    code, printed = end(start(tmp_path, clear))
    assert code == 0, printed
    found = list_versions(destination)
    assert {alias for one in found for alias in one.aliases} == {"champion", "challenger"}
    assert left_models(destination) == []
    assert stored_models(tmp_path) == {one.model_id for one in found}
    assert n_left, "no kill came between a version and its files"
    said(kills=N_KILLS, registered=n, logged_models_left_by_kills=n_left)


def test_ten_writers_at_once_lose_no_version_and_nobody_gets_a_traceback(
    destination: Destination, tmp_path: Path
) -> None:
    run_id = run_in(destination)
    packages = [write_package(tmp_path / f"p{k}", f"weights {k}") for k in range(10)]
    writers = [registering(destination, package, run_id) for package in packages]
    readers = [start(tmp_path, command(destination, "models", "--json")) for _ in range(3)]
    for process in (*writers, *readers):
        output, _ = process.communicate(timeout=600)
        assert (process.returncode, "Traceback" in output) == (0, False), output
    found = list_versions(destination, MODEL)
    assert [one.version for one in found] == list(range(10, 0, -1))
    assert {one.digest for one in found} == set(map(package_digest, packages))
    assert sum("challenger" in one.aliases for one in found) == 1
    assert left_models(destination) == []


def test_registrations_killed_at_random_moments_are_taken_up_by_the_next(
    destination: Destination, tmp_path: Path
) -> None:
    moments, run_id = random.Random(5), run_in(destination)
    package = write_package(tmp_path / "p", "weights")
    began = time.monotonic()
    assert end(registering(destination, write_package(tmp_path / "first", "first"), run_id))[0] == 0
    seconds = time.monotonic() - began
    for _ in range(8):
        process = registering(destination, package, run_id)
        try:
            process.wait(moments.uniform(0.4 * seconds, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        end(process)
    assert end(registering(destination, package, run_id))[0] == 0
    found = list_versions(destination, MODEL)
    assert [one.version for one in found] == [2, 1]
    assert left_models(destination) == []
    assert stored_models(tmp_path) == {one.model_id for one in found}


def test_a_server_that_dies_while_ten_register_is_a_sentence_and_all_are_there_after_its_return(
    server: MlflowServer, tmp_path: Path, said: Callable[..., None]
) -> None:
    destination = Destination(server.uri, tmp_path / "data" / "artifacts")
    run_id = run_in(destination)
    packages = [write_package(tmp_path / f"p{k}", f"weights {k}") for k in range(10)]
    processes = [registering(destination, package, run_id) for package in packages]
    deadline = time.monotonic() + 300
    while not list_versions(destination):
        assert time.monotonic() < deadline
    server.kill()
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert {process.returncode for process in processes} <= {0, 1}
    failed = [output for process, output in zip(processes, outputs, strict=True) if process.returncode]
    assert failed
    for output in failed:
        assert "Traceback" not in output, output
        assert output.splitlines()[-1].startswith("Error: "), output
        assert "MLflow at http://127.0.0.1" in output, output
    server.start()
    for package in packages:
        assert end(registering(destination, package, run_id))[0] == 0
    found = list_versions(destination, MODEL)
    assert {one.digest for one in found} == set(map(package_digest, packages))
    assert len(found) == 10
    assert left_models(destination) == []
    assert stored_models(tmp_path) == {one.model_id for one in found}
    said(failed=len(failed), of=len(processes))


def test_a_slow_server_costs_time_and_loses_nothing(server: MlflowServer, tmp_path: Path) -> None:
    def rule(request: Request) -> Answer:
        time.sleep(1.5)
        return forwarded(request, server.uri)

    run_id = run_in(Destination(server.uri, tmp_path / "data" / "artifacts"))
    with serving(rule) as proxy:
        slow = Destination(proxy.uri, tmp_path / "data" / "artifacts")
        process = registering(slow, write_package(tmp_path / "p", "weights"), run_id)
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert len(list_versions(Destination(server.uri, tmp_path / "data" / "artifacts"))) == 1


def test_a_server_that_refuses_now_and_then_is_tried_again_or_said(server: MlflowServer, tmp_path: Path) -> None:
    chance = random.Random(3)

    def rule(request: Request) -> Answer | None:
        if chance.random() < 0.1:
            return (503, b"busy", {}) if chance.random() < 0.5 else None
        return forwarded(request, server.uri)

    destination = Destination(server.uri, tmp_path / "data" / "artifacts")
    run_id = run_in(destination)
    packages = [write_package(tmp_path / f"p{k}", f"weights {k}") for k in range(4)]
    with serving(rule) as proxy:
        flaky = Destination(proxy.uri, tmp_path / "data" / "artifacts")
        for package in packages:
            output, _ = (process := registering(flaky, package, run_id)).communicate(timeout=600)
            assert "Traceback" not in output, output
            assert process.returncode == 0 or output.splitlines()[-1].startswith("Error: "), output
    for package in packages:
        assert end(registering(destination, package, run_id))[0] == 0
    assert {one.digest for one in list_versions(destination)} == set(map(package_digest, packages))
    assert len(list_versions(destination)) == 4
    assert left_models(destination) == []


PROMOTE = ("promote", MODEL, "1")
COMMANDS = (("models",), ("models", "--clear", "--yes"), PROMOTE, (*PROMOTE, "--force", "x"))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_says_in_a_sentence_that_nothing_answers(tmp_path: Path, words: tuple[str, ...]) -> None:
    write_project(tmp_path, {})
    once = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with silent() as mute, answering(500, b"oops") as failing, answering(200, b"<html>login</html>") as foreign:
        for uri in ("http://127.0.0.1:9", mute, failing, foreign):
            asked = command(Destination(uri, tmp_path / "data" / "artifacts"), *words)
            process = start(tmp_path, asked, **once)
            output, _ = process.communicate(timeout=120)
            assert (process.returncode, "Traceback" in output) == (1, False), output
            assert uri in " ".join(output.split()).replace(" ", ""), output


@pytest.mark.parametrize("words", COMMANDS)
def test_a_database_that_somebody_holds_is_waited_for_or_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    write_project(tmp_path, {})
    (tmp_path / "data").mkdir()
    destination = Destination(f"sqlite:///{tmp_path}/data/mlflow.db", tmp_path / "data" / "artifacts")
    register_package(destination, registration(write_package(tmp_path / "p"), run_in(destination)))
    connect(destination).delete_registered_model_alias(MODEL, "challenger")
    with closing(sqlite3.connect(tmp_path / "data" / "mlflow.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        process = start(tmp_path, command(destination, *words))
        time.sleep(12)
        holder.execute("ROLLBACK")
        output, _ = process.communicate(timeout=600)
    assert "Traceback" not in output, output
    assert process.returncode in (0, 1)
