"""Zips of packages, as this package writes them and as somebody makes them to do harm."""

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages import zip_reading
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.package_zip import write_package_zip
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets_tests.bombs import ARCHIVES
from nnunet_assets_tests.package_builders import ABOUT, cascade, model_of, write_model

NOBODY: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("package")
    return write_package(model_of(cascade(folder)), ABOUT, folder / "package")


@pytest.fixture(scope="module")
def template(package: ModelPackage) -> Path:
    file = package.folder.with_name("model.zip")
    write_package_zip(package, file)
    return file


@pytest.fixture
def zipped(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(template, tmp_path / "model.zip"))


def test_it_is_unpacked_once_into_a_folder_named_by_its_digest(
    package: ModelPackage, zipped: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    opened = open_package_or_zip(zipped, NOBODY, cache)
    assert opened.folder == cache / package.digest
    assert (opened.description, opened.usable.digest) == (package.description, package.usable.digest)
    inode = (opened.folder / "model.json").stat().st_ino
    assert open_package_or_zip(zipped, NOBODY, cache) == opened
    assert (opened.folder / "model.json").stat().st_ino == inode


def test_a_damaged_cache_is_made_anew(package: ModelPackage, zipped: Path, tmp_path: Path) -> None:
    opened = open_package_or_zip(zipped, NOBODY, tmp_path / "cache")
    (opened.folder / "postprocessing.json").write_text("{}")
    assert open_package_or_zip(zipped, NOBODY, tmp_path / "cache").usable.digest == package.usable.digest


def test_a_folder_is_opened_as_it_is_and_nothing_is_made(package: ModelPackage, tmp_path: Path) -> None:
    assert open_package_or_zip(package.folder, NOBODY, tmp_path / "cache") == package
    assert list(tmp_path.iterdir()) == []


def test_a_zip_that_somebody_packed_by_hand_is_as_good(package: ModelPackage, tmp_path: Path) -> None:
    shutil.copytree(package.folder, tmp_path / "mine/model")
    (tmp_path / "mine/model/.DS_Store").write_text("")
    file = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path / "mine"))
    assert open_package_or_zip(file, NOBODY, tmp_path / "cache").digest == package.digest


def _entry(name: str, mode: int = 0) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, b"/etc/passwd")

    return add


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_entry("../escaped.json"), "leads out of the folder"),
        (_entry("Dataset001_Tiny/../../escaped.json"), "leads out of the folder"),
        (_entry("/tmp/escaped.json"), "leads out of the folder"),
        (_entry("a\\..\\escaped.json"), "leads out of the folder"),
        (_entry("C:/escaped.json"), "leads out of the folder"),
        (_entry("a//escaped.json"), "leads out of the folder"),
        (_entry("./escaped.json"), "leads out of the folder"),
        (_entry("link", stat.S_IFLNK | 0o777), "is a link or another thing"),
        (_entry("pipe", stat.S_IFIFO | 0o644), "is a link or another thing"),
        (_entry("other/escaped.json"), "holds files beside its package"),
        (_entry("model.json"), "it has 2 files model.json"),
    ],
)
def test_an_entry_that_leads_elsewhere_is_refused_before_anything_is_unpacked(
    zipped: Path, tmp_path: Path, plant: Callable[[zipfile.ZipFile], None], said: str
) -> None:
    with zipfile.ZipFile(zipped, "a") as archive:
        plant(archive)
    with pytest.raises(PackageError, match=said) as caught:
        open_package_or_zip(zipped, NOBODY, tmp_path / "cache")
    assert str(zipped) in str(caught.value)
    assert list(tmp_path.iterdir()) == [zipped]


@pytest.mark.parametrize(
    ("name", "said"),
    [("postprocessing.pkl", "holds pickles"), ("more.json", "does not name: more.json"), ("PLANS.JSON", "one name")],
)
def test_files_that_nobody_vouches_for_are_refused_before_they_are_unpacked(
    package: ModelPackage, tmp_path: Path, name: str, said: str
) -> None:
    single = write_package(model_of(write_model(tmp_path)), ABOUT, tmp_path / "package")
    write_package_zip(single, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip", "a") as archive:
        archive.writestr(f"{Path(archive.namelist()[0]).parent.as_posix()}/{name}", b"")
    with pytest.raises(PackageError, match=said):
        open_package_or_zip(tmp_path / "model.zip", NOBODY, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_changed_content_is_not_kept(package: ModelPackage, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(package.folder, tmp_path / "changed/model"))
    with (changed / "postprocessing.json").open("a") as opened:
        opened.write(" ")
    file = Path(shutil.make_archive(str(tmp_path / "model"), "zip", tmp_path / "changed"))
    with pytest.raises(PackageError, match=r"since it was made: postprocessing\.json"):
        open_package_or_zip(file, NOBODY, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("bomb", ["compressed pickle", "over each other", "a comment"])
def test_a_bomb_is_refused(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "bomb.zip").write_bytes(ARCHIVES[bomb]())
    with pytest.raises(PackageError):
        open_package_or_zip(tmp_path / "bomb.zip", NOBODY, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_package_that_unpacks_to_much_more_than_it_has_says_so(
    zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_reading, "ROOM_FOR_TEXT", 0)
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{Path(archive.namelist()[0]).parent.as_posix()}/zeros", bytes(1 << 20))
    with pytest.raises(PackageError, match="says that it unpacks to 1 MB"):
        open_package_or_zip(zipped, NOBODY, tmp_path / "cache")


def test_a_description_of_gigabytes_is_not_read(zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_reading, "MOST_DESCRIPTION_BYTES", 100)
    with pytest.raises(PackageError, match=r"has a model\.json of"):
        open_package_or_zip(zipped, NOBODY, tmp_path / "cache")


def test_a_full_disk_is_refused_before(zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_reading, "lacking_room", lambda folder, n_bytes, what: f"{what} more.")
    with pytest.raises(PackageError, match=r"cannot be unpacked\. Unpacking it needs more"):
        open_package_or_zip(zipped, NOBODY, tmp_path / "cache")


def _cut(content: bytes) -> bytes:
    return content[:-100]


def _flipped(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 255]) + content[1001:]


def _text(_: bytes) -> bytes:
    return b"<html>not found</html>"


@pytest.mark.parametrize("damage", [_cut, _flipped, _text, lambda _: b""])
def test_a_damaged_zip_is_named(zipped: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    zipped.write_bytes(damage(zipped.read_bytes()))
    with pytest.raises(PackageError, match=r"model\.zip"):
        open_package_or_zip(zipped, NOBODY, tmp_path / "cache")


@given(data=st.data())
@settings(max_examples=30)
def test_a_torn_zip_is_refused_or_whole(
    package: ModelPackage, template: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    content = bytearray(template.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "model.zip").write_bytes(content)
    try:
        opened = open_package_or_zip(folder / "model.zip", NOBODY, folder / "cache")
    except PackageError:
        return
    assert opened.digest == package.digest


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="is not there"):
        open_package_or_zip(tmp_path / "none.zip", NOBODY, tmp_path / "cache")


def test_what_nnunet_exports_is_told_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__2d/plans.json", "{}")
    with pytest.raises(PackageError, match=r"0 files model\.json.*nnUNetv2_install_pretrained_model_from_zip"):
        open_package_or_zip(tmp_path / "export.zip", NOBODY, tmp_path / "cache")
