"""Zips from anywhere: what leaves its folder, is no package, or is torn is refused, and nothing of it is left."""

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.package_zip import unpacked


def write_zip(file: Path, *names: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
    return file


@pytest.mark.parametrize("below", ["", "package/"])
def test_a_package_is_unpacked_once(tmp_path: Path, below: str) -> None:
    file = write_zip(tmp_path / "p.zip", f"{below}model.json", f"{below}fold_0/checkpoint_final.pth")
    folder = unpacked(file, tmp_path / "cache")
    assert (folder / "fold_0" / "checkpoint_final.pth").read_text() == f"content of {below}fold_0/checkpoint_final.pth"
    stamp = (folder / "model.json").stat().st_mtime_ns
    assert unpacked(file, tmp_path / "cache") == folder
    assert (folder / "model.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["model.json", "../evil"], "which is no plain file below it"),
        (["model.json", "/etc/evil"], "which is no plain file below it"),
        (["model.json", "a/../../evil"], "which is no plain file below it"),
        (["model.json", "C:evil"], "which is no plain file below it"),
        (["plans.json"], "it has no model.json"),
        (["a/model.json", "b/model.json"], "it has no model.json beside everything else"),
        (["a/model.json", "evil"], "it has no model.json beside everything else"),
        (["model.json", "a", "a/b"], "cannot be unpacked"),
    ],
)
def test_what_is_no_package_is_refused_and_leaves_nothing(tmp_path: Path, names: list[str], said: str) -> None:
    file = write_zip(tmp_path / "p.zip", *names)
    with pytest.raises(PackageError, match=said):
        unpacked(file, tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("p.zip", "cache")] == []
    assert [path for path in (tmp_path / "cache").glob("*") if path.is_dir()] == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "p.zip", "model.json")
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("plans.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(PackageError, match="which is no plain file below it"):
        unpacked(file, tmp_path / "cache")


@given(data=st.data())
def test_a_torn_zip_is_refused_or_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("torn")
    file = write_zip(folder / "p.zip", "model.json", "plans.json")
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        found = unpacked(file, folder / "cache")
    except PackageError:
        return
    assert (found / "model.json").read_text() == "content of model.json"
