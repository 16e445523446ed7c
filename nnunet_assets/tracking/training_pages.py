"""MLflow's own server, whose pages a browser opens on trainings and their Dice unless it was told otherwise.

For the server that `dev` and `up` start, by MLflow's way for other applications (`mlflow server --app-name`). MLflow
3.17 opens an experiment on language models' token usage, without any metric among its columns, until the browser
remembers another choice. What it would remember is offered to it here as its default; nothing is written there. An
MLflow that remembers it otherwise finds no default, and opens as it would.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nnunet_assets.tracking.store.experiment_page import VIEW_STATE

APP_NAME = "nnunet-assets"
"""Of the entry point, in the group `mlflow.app`."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_DEFAULTS = {
    "^mlflow\\.workflowType_v1$": "machine_learning",
    "^MLflowLocalStorage-1\\.1-ExperimentPage-.*-ReactComponentState$": VIEW_STATE,
    # Else a panel for questions to a language model opens over a quarter of the first page.
    "^mlflow\\.assistant\\.fab\\.autoOpenedOnFirstLoad_v1$": True,
}
_SCRIPT = """<script>(() => {
  const defaults = Object.entries(DEFAULTS), remembered = Storage.prototype.getItem;
  Storage.prototype.getItem = function (key) {
    const found = remembered.call(this, key), ours = defaults.find(([name]) => new RegExp(name).test(key));
    return found === null && ours && this === window.localStorage ? JSON.stringify(ours[1]) : found;
  };
})()</script>"""


def create_app() -> App:
    """Returns MLflow's application with the defaults; uvicorn calls it."""
    from mlflow.server.fastapi_app import app

    return opened_on_trainings(app)


def opened_on_trainings(app: App) -> App:
    """Returns an application whose first page has the defaults, and that is the same in everything else."""

    async def opened(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            # The page that a browser kept would be without them.
            scope["headers"] = [
                (k, v) for k, v in scope["headers"] if k.lower() not in (b"if-none-match", b"if-modified-since")
            ]
            send = _WithDefaults(send)
        await app(scope, receive, send)

    return opened


class _WithDefaults:
    """Holds a page back until it is whole, and sends it with the script in its head."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        script = _SCRIPT.replace("DEFAULTS", json.dumps(_DEFAULTS)).encode()
        body = self._body.replace(b"<head>", b"<head>" + script, 1)
        headers = [(k, v) for k, v in self._start["headers"] if k.lower() != b"content-length"]
        await self._send({**self._start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await self._send({**message, "body": body})
