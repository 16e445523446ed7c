"""What of a project nobody else may read, under an umask that lets everybody read everything."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.private_files import make_private, open_to_others
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.usefixtures("instances_made_by_dagster")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_new_project_keeps_its_environment_and_its_instance_to_its_owner(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    assert (mode(project / ".env"), mode(project / ".dagster")) == (0o600, 0o700)
    assert mode(project / "experiments" / "example" / "defs.yaml") == 0o666
    assert list(open_to_others(project)) == []
    assert make_private(project) == []


def test_a_new_tracking_store_and_the_key_of_pseudonyms_are_their_owners(tmp_path: Path) -> None:
    connect(Destination(f"sqlite:///{tmp_path / 'data' / 'mlflow.db'}", tmp_path / "data" / "mlartifacts"))
    Pseudonyms(tmp_path / "data" / "mlartifacts", None).of("case", "a")
    assert mode(tmp_path / "data" / "mlflow.db") == 0o600
    assert mode(tmp_path / "data" / "pseudonym_salt") == 0o600
    assert list(open_to_others(tmp_path)) == []


def test_a_device_or_a_pipe_that_a_link_leads_to_stays_everybodys(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    device = tmp_path / "device"  # of no kind that this user could not make
    os.mkfifo(device, 0o666)
    (project / "data").mkdir()
    links = [project / ".env", project / "data" / "mlflow.db", project / ".dagster" / "runs.db"]
    for link in links:
        link.unlink(missing_ok=True)
        link.symlink_to(device)
    assert list(open_to_others(project)) == []
    assert make_private(project) == []
    assert mode(device) == 0o666


def test_what_an_earlier_version_left_open_is_closed_with_a_word(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    data = project / "data"
    data.mkdir()
    left = [project / ".env", data / "mlflow.db", data / "pseudonym_salt", project / ".dagster"]
    for path in left:
        if not path.exists():
            path.touch()
        path.chmod(0o755 if path.is_dir() else 0o644)
    sentences = make_private(project)
    assert [sentence.split(" could be read")[0] for sentence in sentences] == [str(path) for path in left]
    assert [mode(path) for path in left] == [0o600, 0o600, 0o600, 0o700]
    assert {oct(mode(path)) for path in (project / ".dagster").rglob("*.db")} == {"0o600"}
    assert make_private(project) == []


def test_a_project_without_any_of_them_is_left_alone(tmp_path: Path) -> None:
    assert make_private(tmp_path) == []
    assert ensure_instance(tmp_path / "new").stat().st_mode & 0o077 == 0
