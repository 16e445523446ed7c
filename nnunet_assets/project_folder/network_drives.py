"""What of a project lies on a network drive, where SQLite's locks may not hold, by what the kernel has mounted.

Dagster and MLflow keep SQLite files in a project unless they are told otherwise. On a drive whose locks are those of
each machine alone, two machines write into them at the same time, and a file that is torn is lost.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER
from nnunet_assets.declarations.yaml_files.settings_file import readable_settings
from nnunet_assets.settings import Settings

MOUNTS = Path("/proc/self/mountinfo")
_KINDS = (
    *("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "glusterfs", "sshfs", "orangefs", "pvfs2"),
    *("davfs", "s3fs", "gcsfuse", "rclone", "juicefs", "moosefs", "mfs", "panfs"),
)
_REMEDY = (
    "Keep the project on a local disk and set nnU-Net's three variables to the drive; or use Postgres in "
    ".dagster/dagster.yaml and a tracking server."
)


@dataclass(frozen=True)
class NetworkDrive:
    """A network drive, and what of a project on it may be ruined.

    Attributes:
        kind: Its file system: `nfs4`.
        mount: Where it is mounted.
        files: What lies there.
    """

    kind: str
    mount: Path
    files: tuple[Path, ...]

    def __str__(self) -> str:
        """Returns it in a sentence."""
        files = " and ".join(map(str, self.files))
        return (
            f"{files} {'lies' if len(self.files) == 1 else 'lie'} on a network drive ({self.kind} at {self.mount}), "
            "where several processes can ruin an SQLite file."
        )

    @property
    def remedy(self) -> str:
        """Returns what to do about it."""
        return _REMEDY


def network_drives(settings: Settings) -> list[NetworkDrive]:
    """Returns the network drives that hold SQLite files of the project; none where Postgres and a server hold all."""
    found: dict[tuple[str, Path], list[Path]] = {}
    for file in _sqlite_files(settings):
        kind, mount = mount_of(file)
        if is_network_kind(kind):
            found.setdefault((kind, mount), []).append(file)
    return [NetworkDrive(kind, mount, tuple(files)) for (kind, mount), files in found.items()]


def network_sentences(settings: Settings) -> list[str]:
    """Returns what is said where a command begins to work in a project on a network drive."""
    return [f"{drive} {drive.remedy}" for drive in network_drives(settings)]


def is_network_kind(kind: str) -> bool:
    """Tells whether a file system is that of a network drive: `nfs4`, `cifs`, `smb3`, `fuse.sshfs`, `9p`, `lustre`."""
    return kind.lower().removeprefix("fuse.").startswith(_KINDS)


def mount_of(path: Path) -> tuple[str, Path]:
    """Returns the kind of the file system that a path lies on, or would lie on, and where that is mounted.

    Both are empty where the kernel does not say (another system than Linux). Of two at the same place, the last one
    mounted is what everybody sees.
    """
    real = path.resolve()
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "", Path()
    around = [(len(mount.parts), number, kind, mount) for number, (kind, mount) in enumerate(map(_parsed, lines))]
    _, _, kind, mount = max((one for one in around if real.is_relative_to(one[3])), default=(0, 0, "", Path()))
    return kind, mount


def _parsed(line: str) -> tuple[str, Path]:
    """Returns kind and place of a line of mountinfo: the place is its fifth word, the kind the first behind ` - `."""
    before, _, behind = line.partition(" - ")
    words = before.split(" ")
    place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), words[4]) if len(words) > 4 else "/"
    return behind.split(" ")[0], Path(place)


def _sqlite_files(settings: Settings) -> Iterator[Path]:
    # Who trains with nnU-Net's variables alone has no instance.
    has_instance = settings.dagster_home.exists() or (settings.project / EXPERIMENTS_FOLDER).is_dir()
    if has_instance and _dagster_has_sqlite(settings.dagster_home / "dagster.yaml"):
        yield settings.dagster_home
    if settings.tracking_uri.startswith("sqlite:"):
        yield Path("/" + settings.tracking_uri.partition(":")[2].lstrip("/"))


def _dagster_has_sqlite(dagster_yaml: Path) -> bool:
    written = readable_settings(dagster_yaml)
    storages = ("storage", "run_storage", "event_log_storage")
    chosen = [written[name] for name in storages if name in written]
    return not chosen or any("sqlite" in str(one).lower() for one in chosen)
