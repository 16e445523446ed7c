"""MLflow's first page with our defaults: the page alone, and what MLflow's own code makes of them."""

import asyncio
import re
from collections.abc import Sequence
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunet_assets.tracking.training_pages import APP_NAME, Receive, Scope, Send, create_app, opened_on_trainings

PAGE = b"<!doctype html><html><head><title>MLflow</title></head><body></body></html>"


async def mlflow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as a server does: in pieces, with their length; 304 to who has the page."""
    if any(name == b"if-none-match" for name, _ in scope["headers"]):
        await send({"type": "http.response.start", "status": 304, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [(b"content-type", b"text/html"), (b"Content-Length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE[:10], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[10:]})


def answer(
    path: str, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope: Scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}

    async def asked() -> None:
        await opened_on_trainings(mlflow)(scope, receive, send)

    asyncio.run(asked())
    start, *body = sent
    return start["status"], {k.lower(): v for k, v in start["headers"]}, b"".join(part["body"] for part in body)


def test_the_first_page_has_the_defaults_before_its_own_scripts() -> None:
    status, headers, body = answer("/")

    assert status == 200
    assert headers == {b"content-type": b"text/html", b"content-length": str(len(body)).encode()}
    script = re.fullmatch(rb"<!doctype html><html><head><script>(.*)</script><title>.*", body, re.DOTALL)
    assert script
    assert b'"machine_learning"' in script[1]
    assert b"metrics.`val_dice_mean`" in script[1]
    assert body.replace(b"<script>" + script[1] + b"</script>", b"") == PAGE


def test_a_page_that_the_browser_kept_is_sent_again() -> None:
    assert answer("/", headers=[(b"if-none-match", b'"1"')])[0] == 200


def test_everything_else_is_as_mlflow_sends_it() -> None:
    assert answer("/static-files/main.js")[2] == PAGE
    assert answer("/", method="POST")[2] == PAGE
    assert answer("/static-files/main.js", headers=[(b"if-none-match", b'"1"')])[0] == 304


def test_mlflow_finds_it_by_its_name() -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    declared = setup["options.entry_points"]["mlflow.app"].split()
    assert declared == [APP_NAME, "=", f"{create_app.__module__}:{create_app.__name__}"]


def test_the_pages_of_the_installed_mlflow_remember_under_these_names() -> None:
    found = find_spec("mlflow")
    assert found
    scripts = Path(str(found.origin)).parent / "server" / "js" / "build" / "static" / "js"
    # Which of the scripts has a name changed between 3.10 and 3.17.
    shipped = "".join(file.read_text() for file in scripts.glob("*.js"))
    for name in (
        "mlflow.workflowType",
        "MLflowLocalStorage",
        '"1.1"',
        "ReactComponentState",
        "machine_learning",
        '"ExperimentPage"',
        "mlflow.assistant.fab.autoOpenedOnFirstLoad",
    ):
        assert name in shipped
