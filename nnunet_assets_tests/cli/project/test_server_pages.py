"""Whether a server's page answers, on this machine, whatever stands between it and others."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nnunet_assets.cli.project.server_processes import answers


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9", "http://me:pw@proxy.example:3128"])
def test_a_page_answers_though_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: str | None
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy) if proxy else monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert answers(f"http://127.0.0.1:{server.server_port}/health")
        server.shutdown()
    assert not answers(f"http://127.0.0.1:{server.server_port}/health")
