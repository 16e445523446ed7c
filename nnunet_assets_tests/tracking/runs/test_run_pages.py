"""A link to a run is shown where a server shows the run."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from nnunet_assets.tracking.runs.run_pages import shows_run
from nnunet_assets.tracking.store.destination import Destination

STORE = Destination("sqlite:////p/mlflow.db", Path("/p"))


class Server(BaseHTTPRequestHandler):
    """Answers as MLflow does when it is asked for a run, of which it knows one."""

    def do_GET(self) -> None:
        is_known = self.path == "/mlflow/api/2.0/mlflow/runs/get?run_id=mine"
        self.send_response(200 if is_known else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the terminal quiet."""


@pytest.fixture
def page() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mlflow"
        server.shutdown()
        thread.join()


def test_a_server_shows_the_runs_that_it_knows(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert shows_run(f"{page}/#/experiments/1/runs/mine", STORE, "mine")
    assert not shows_run(f"{page}/#/experiments/1/runs/anothers", STORE, "anothers")


def test_where_nothing_answers_nothing_is_shown() -> None:
    assert not shows_run("http://127.0.0.1:9/#/experiments/1/runs/mine", STORE, "mine")


def test_a_tracking_server_took_the_run_itself() -> None:
    assert shows_run("https://there/#/runs/mine", Destination("https://there", Path("/p")), "mine")
