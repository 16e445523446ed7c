"""What `doctor` says of the Ray cluster that is declared."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nnunet_assets.cli.diagnosis import ray_cluster
from nnunet_assets.cli.diagnosis.ray_cluster import ray_findings
from nnunet_assets.engines.ray_cluster import probe as probe_module
from nnunet_assets.engines.ray_cluster.probe import NoClusterError, cluster_nodes
from nnunet_assets.settings import Settings
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project


@pytest.fixture(autouse=True)
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "version", lambda _: "2.60.0")


def settings(root: Path, engine: str, experiment: str = "") -> Settings:
    write_project(root, {"defs.yaml": documents(DATASET, EXPERIMENT + experiment)})
    (root / "engine.yaml").write_text(engine)
    return Settings.from_environment(root, {})


def test_a_cluster_that_has_what_is_asked_for_is_named_with_what_it_has(tmp_path: Path) -> None:
    asked = []

    def probe(address: str | None, _: Mapping[str, str]) -> list[dict[str, float]]:
        asked.append(address)
        return [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}]

    (finding,) = ray_findings(settings(tmp_path, "kind: ray\ncpus: 8\naddress: head:6379\n"), probe)
    assert (finding.level, asked) == ("ok", ["head:6379"])
    assert finding.found == "2.60.0 at head:6379: nodes: 2, in all 2 GPU and 16 CPU"


def test_what_no_node_has_is_told_by_experiment(tmp_path: Path) -> None:
    _, finding = ray_findings(settings(tmp_path, "kind: ray\ncpus: 9\n"), lambda *_: [{"CPU": 8.0, "GPU": 2.0}])
    assert finding.level == "warning"
    assert "the only node of the cluster does not have 1 GPU and 9 CPU" in finding.found


def test_a_cluster_that_does_not_answer_is_an_error_with_its_reason(tmp_path: Path) -> None:
    def probe(*_: object) -> list[dict[str, float]]:
        raise NoClusterError("Version mismatch.")

    (finding,) = ray_findings(settings(tmp_path, "kind: ray\ncpus: 8\n"), probe)
    assert (finding.level, finding.found) == ("error", "auto: Version mismatch.")


@pytest.mark.parametrize("engine", ["", "kind: slurm\n", "kind: rai\n"])
def test_nothing_is_asked_where_nothing_trains_on_ray(tmp_path: Path, engine: str) -> None:
    assert list(ray_findings(settings(tmp_path, engine))) == []


def test_the_probe_names_a_missing_ray_an_address_without_an_answer_and_what_ray_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe_module, "refuse_missing", lambda: None)
    with pytest.raises(NoClusterError, match=r"Nothing answers at 127\.0\.0\.1:1"):
        cluster_nodes("127.0.0.1:1", {})
    monkeypatch.setattr(
        probe_module, "python_command", lambda *_: ["/bin/sh", "-c", "echo noise; echo why >&2; exit 1"]
    )
    with pytest.raises(NoClusterError, match=r"^why$"):
        cluster_nodes(None, {})
    monkeypatch.setattr(
        probe_module, "python_command", lambda *_: ["/bin/sh", "-c", "echo noise; echo '[{\"GPU\": 1}]'"]
    )
    assert cluster_nodes(None, {}) == [{"GPU": 1}]
