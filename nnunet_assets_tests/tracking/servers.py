"""A real MLflow server that a test may kill and restart, and servers that misbehave."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MLFLOW_WARNINGS = [
    # MLflow 3.17's own mapping under SQLAlchemy 2.1; once it was an error, no store opens in that process any more.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]
"""What a test that opens a real store lets pass, as its module's `pytestmark`."""


def free_port() -> int:
    """A port on which nothing listens; until somebody else takes it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`mlflow server` on an SQLite store in a folder; always on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers; one that runs is left running."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "served"), "--workers", "1"]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *store, *artifacts],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
                cwd=self.folder,
            )
        try:
            self._wait_for_an_answer(self._process, 180)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _wait_for_an_answer(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            log = (self.folder / "server.log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False


@dataclass(frozen=True)
class Request:
    """What came to a false server."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = tuple[int, bytes, Mapping[str, str]]


@dataclass
class FalseServer:
    """Where it listens and what came to it."""

    uri: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving(rule: Callable[[Request], Answer | None], port: int = 0) -> Iterator[FalseServer]:
    """Runs a server that gives the rule's answer; None drops the connection without one. Port 0 is any free one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, dict(self.headers), body)
            false_server.requests.append(request)
            answer = rule(request)
            if answer is None:
                self.close_connection = True
                return
            status, content, headers = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 (the names that http.server looks for)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    false_server = FalseServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield false_server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yields the address of a server that gives the same answer to everything."""
    with serving(lambda _request: (status, body, headers or {})) as false_server:
        yield false_server.uri


def forwarded(request: Request, uri: str) -> Answer:
    """The answer of another server to a request."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
    sent = urllib.request.Request(uri + request.path, request.body or None, headers, method=request.method)
    try:
        with urllib.request.urlopen(sent, timeout=20) as answer:
            return answer.status, answer.read(), {"Content-Type": answer.headers["Content-Type"]}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {"Content-Type": error.headers["Content-Type"]}


class Road:
    """The way to a server, on a port of its own; while it is closed, every connection is refused as by a dead one.

    To kill the server itself costs several seconds for the next one; that is for `faults.test_tracking_server`.
    """

    def __init__(self, server: MlflowServer) -> None:
        self._server, self._port = server, free_port()
        self.uri = f"http://127.0.0.1:{self._port}"

    @contextmanager
    def open(self) -> Iterator[None]:
        with serving(lambda request: forwarded(request, self._server.uri), self._port):
            yield


@contextmanager
def silent() -> Iterator[str]:
    """Yields the address of a server that takes every connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
