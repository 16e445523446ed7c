"""A real `dagster dev` for tests: webserver, daemon and code server of one project, driven through GraphQL."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


@dataclass(frozen=True)
class DagsterDev:
    """A running `dagster dev`.

    Attributes:
        url: Of the web UI.
        log: What it printed.
    """

    url: str
    log: Path

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def backfill(self, *assets: tuple[str, ...], partitions: list[str] | None = None) -> str:
        chosen: dict[str, Any] = {"partitionNames": partitions} if partitions else {"allPartitions": True}
        params = {"assetSelection": [{"path": list(path)} for path in assets], **chosen}
        result = self.query(BACKFILL, p=params)["launchPartitionBackfill"]
        assert result["__typename"] == "LaunchBackfillSuccess", result
        return str(result["backfillId"])

    def launch(self, *assets: tuple[str, ...], partition: str | None = None) -> str:
        """Materializes assets in a run of their own, at once, and returns its id."""
        selector = {
            "repositoryLocationName": "nnunet_assets",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": list(path)} for path in assets],
        }
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
        result = self.query(LAUNCH, p=params)["launchRun"]
        assert result["__typename"] == "LaunchRunSuccess", result
        return str(result["run"]["runId"])

    def status(self, run_id: str) -> str:
        return str(next(run["status"] for run in self.query(RUNS)["runsOrError"]["results"] if run["runId"] == run_id))

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Returns the runs that have these tags ('dagster/partition' as dagster__partition), newest first."""
        wanted = {name.replace("__", "/"): value for name, value in tags.items()}
        found = []
        for run in self.query(RUNS)["runsOrError"]["results"]:
            has = {tag["key"]: tag["value"] for tag in run["tags"]}
            if wanted.items() <= has.items():
                found.append({**run, "tags": has})
        return found

    def wait_for(self, what: str, is_so: Callable[[], Any], seconds: float = 240) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := is_so():
                return found
            time.sleep(1)
        raise AssertionError(
            f"{what} did not happen in {seconds} s; runs: {self.runs()}\n{self.log.read_text()[-3000:]}"
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def dagster_dev(project: Path, environment: Mapping[str, str] | None = None) -> Iterator[DagsterDev]:
    """Runs plain `dagster dev` in a project's folder, as its user would, and ends it with all it started."""
    # A shell without job control starts pytest with SIGINT ignored; `dagster dev` would inherit that and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    port = free_port()
    log = project / "dagster_dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)],
            cwd=project,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    dev = DagsterDev(f"http://127.0.0.1:{port}", log)
    try:
        dev.wait_for("an answer of the web UI", lambda: process.poll() is None and _answers(dev.url), 90)
        yield dev
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
