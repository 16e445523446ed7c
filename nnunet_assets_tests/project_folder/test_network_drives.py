"""What of a project lies on a network drive, by mount tables as kernels write them."""

from pathlib import Path

import pytest

from nnunet_assets.project_folder import network_drives
from nnunet_assets.project_folder.network_drives import is_network_kind, mount_of, network_sentences
from nnunet_assets.settings import Settings

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / {folder} rw,relatime - ext4 /dev/sdb1 rw
31 30 0:44 / {folder}/lab\040drive rw,relatime shared:9 master:2 - nfs4 server:/export rw,vers=4.2
32 31 0:45 / {folder}/lab\040drive/scratch rw - xfs /dev/sdc1 rw
33 30 0:46 / {folder}/share rw - ext4 /dev/sdd1 rw
34 30 0:47 / {folder}/share rw - cifs //server/share rw
"""


@pytest.fixture(autouse=True)
def _mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS.replace("{folder}", str(tmp_path)))
    monkeypatch.setattr(network_drives, "MOUNTS", tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("here", "ext4"),
        ("lab drive/project/.dagster", "nfs4"),
        ("lab drive", "nfs4"),
        ("lab drive 2", "ext4"),
        ("lab drive/scratch/x", "xfs"),
        ("share/a", "cifs"),
    ],
)
def test_the_innermost_and_last_mount_is_that_of_a_path(tmp_path: Path, place: str, kind: str) -> None:
    assert mount_of(tmp_path / place)[0] == kind


def test_a_link_is_followed_to_where_its_files_lie(tmp_path: Path) -> None:
    (tmp_path / "lab drive").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "lab drive")
    assert mount_of(tmp_path / "linked" / "x") == ("nfs4", tmp_path / "lab drive")


@pytest.mark.parametrize(
    ("kinds", "is_network"),
    [
        (
            "nfs nfs4 cifs smb3 smbfs fuse.sshfs sshfs 9p lustre fuse.lustre beegfs gpfs fuse.glusterfs ceph "
            "fuse.ceph-fuse afs fuse.davfs fuse.s3fs fuse.mfs fuse.rclone",
            True,
        ),
        ("ext4 xfs btrfs zfs overlay tmpfs fuseblk fuse.ntfs-3g autofs apfs vfat f2fs fuse.gocryptfs bcachefs", False),
    ],
)
def test_file_systems_of_networks_are_told_from_those_of_disks(kinds: str, *, is_network: bool) -> None:
    for kind in kinds.split():
        assert is_network_kind(kind) is is_network, kind


def settings_of(project: Path, **variables: str) -> Settings:
    (project / "experiments").mkdir(parents=True)
    return Settings.from_environment(project, variables)


def test_a_project_on_a_drive_is_said_with_its_files_and_the_remedy(tmp_path: Path) -> None:
    project = tmp_path / "lab drive" / "project"
    assert network_sentences(settings_of(project)) == [
        f"{project}/.dagster and {project}/data/mlflow.db lie on a network drive (nfs4 at {tmp_path}/lab drive), where "
        "several processes can ruin an SQLite file. Keep the project on a local disk and set nnU-Net's three variables "
        "to the drive; or use Postgres in .dagster/dagster.yaml and a tracking server."
    ]


def test_a_store_elsewhere_and_data_on_the_drive_are_told_apart(tmp_path: Path) -> None:
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    data = {name: str(tmp_path / "share" / name) for name in names}
    assert network_sentences(settings_of(tmp_path / "a", **data)) == []
    store = f"sqlite:///{tmp_path / 'share' / 'mlflow.db'}"
    (said,) = network_sentences(settings_of(tmp_path / "b", MLFLOW_TRACKING_URI=store))
    assert said.startswith(f"{tmp_path}/share/mlflow.db lies on a network drive (cifs at {tmp_path}/share), where")


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("storage: {postgres: {postgres_url: x}}\n", False),
        ("run_storage: {module: dagster_postgres.run_storage, class: PostgresRunStorage}\n", False),
        ("storage: {sqlite: {base_dir: /local}}\n", True),
        ("run_queue: {}\n", True),
        ("[", True),
    ],
)
def test_postgres_and_a_server_may_stand_for_the_files(tmp_path: Path, yaml: str, *, said: bool) -> None:
    settings = settings_of(tmp_path / "lab drive" / "project", MLFLOW_TRACKING_URI="http://127.0.0.1:5000")
    settings.dagster_home.mkdir()
    (settings.dagster_home / "dagster.yaml").write_text(yaml)
    assert bool(network_sentences(settings)) is said


def test_where_the_kernel_says_nothing_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_drives, "MOUNTS", tmp_path / "none")
    assert network_sentences(settings_of(tmp_path / "lab drive" / "project")) == []
