"""Packages damaged and forged at random: each is refused in a sentence or is what it was, and nothing is half-made.

A few examples in every run; a thousand of each in `make test-faults`.
"""

import json
import os
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage, open_package
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.package_zip import write_package_zip
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets_tests.any_input.damages import ODD_VALUES, damages
from nnunet_assets_tests.package_builders import ABOUT, cascade, model_of, write_model

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # of zips that are made so on purpose

NOBODY: frozenset[str] = frozenset()
SECRET = "canary of a file beside the package"

ODD_NAMES = [
    "../escaped",
    "../../escaped",
    "/tmp/escaped",
    "a/../../escaped",
    "a\\..\\..\\escaped",
    "C:\\escaped",
    "//host/share/escaped",
    "~/escaped",
    "a//b",
    "./a",
    ".",
    "..",
    "",
    "a\0b",
    "CON",
    "fold_0 ",
    "fold_0.",
    "plans.json/",
    "plans.json/x",
    "PLANS.JSON",
    "Plans.json",
    "plans\u200b.json",
    "ﬁle.json",
    "é.json",
    unicodedata.normalize("NFD", "é.json"),
    "x" * 300,
    "a/" * 200 + "b",
    "postprocessing.PKL",
    "fold_0/more.pth",
    "model.json",
    "members/model.json",
]

DAMAGES = damages()
ODD_ENTRIES = ("renamed", "inside", "doubled", "mode", "content", "left out", "deflated")
PLACES = ("trainer", "checkpoint", "configuration", "dataset", "plans", "variant", "path", "previous", "folds", "name")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """An ensemble of a model and a cascade, with a step of postprocessing."""
    folder = tmp_path_factory.mktemp("package")
    model = model_of(write_model(folder), cascade(folder), steps=[(1,)])
    return write_package(model, ABOUT, folder / "package")


@pytest.fixture(scope="module")
def zipped(template: ModelPackage) -> Path:
    file = template.folder.with_name("model.zip")
    write_package_zip(template, file)
    return file


def tree(folder: Path) -> dict[str, str]:
    """Returns what lies below a folder, links not followed: path to content, or to what it is."""
    found = {}
    for place, folders, names in os.walk(folder):
        for path in (Path(place) / name for name in (*folders, *names)):
            mode = path.lstat().st_mode
            found[str(path.relative_to(folder))] = file_sha256(path) if stat.S_ISREG(mode) else str(stat.S_IFMT(mode))
    return found


def check_opened(opened: ModelPackage, cache_or_folder: Path) -> None:
    """Whatever is opened leads to no file outside its folder, and to no trainer that is not nnU-Net's."""
    line: list[Member] = list(opened.usable.members)
    while line:
        member = line.pop()
        line += [member.previous] if member.previous else []
        assert member.experiment.trainer.startswith("nnUNetTrainer")
        for file in member.checkpoints:
            assert file.is_file()
            assert file.resolve().is_relative_to(cache_or_folder.resolve())


def opened_or_refused(path: Path, cache: Path) -> ModelPackage | None:
    """Opens a package; None: it was refused, in a sentence of one line that names it."""
    try:
        return open_package_or_zip(path, NOBODY, cache)
    except NnunetAssetsError as error:
        said = str(error)
        assert said.strip().endswith((".", "?")), said
        assert "Traceback" not in said
        assert SECRET not in said
        assert path.parent.name in said or path.name in said, said
        return None


@st.composite
def changes_of_folder(draw: st.DrawFn) -> Callable[[Path], None]:
    """Draws what somebody did to the folder of a package, and whether he gave it digests that fit."""
    file_index, (_, damage) = draw(st.integers(0, 50)), draw(DAMAGES)
    kind = draw(st.sampled_from(["damaged", "damaged", "forged", "added", "moved", "linked", "swapped"]))
    name, value, key = (
        draw(st.sampled_from(ODD_NAMES)),
        draw(st.sampled_from(ODD_VALUES)),
        draw(st.sampled_from(PLACES)),
    )
    vouches, other_index = draw(st.booleans()), draw(st.integers(0, 50))

    def change(folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        file, other = files[file_index % len(files)], files[other_index % len(files)]
        match kind:
            case "damaged":
                damage(file)
            case "forged":
                _forge(folder / "model.json", key, draw_value=value if other_index % 2 else name, place=other_index)
            case "added":
                _add(folder, name)
            case "moved":
                target = file.with_name(file.name.upper())
                file.rename(target)
            case "linked":
                beside = folder.parent / "beside"
                shutil.copyfile(file, beside)
                file.unlink()
                file.symlink_to(beside)
            case "swapped":
                content = file.read_bytes()
                file.write_bytes(other.read_bytes())
                other.write_bytes(content)
        if vouches:
            _vouch(folder)

    return change


def _forge(file: Path, key: str, draw_value: Any, place: int) -> None:
    content = json.loads(file.read_text())
    members = content["members"]
    members[place % len(members)][key] = draw_value
    file.write_bytes(json.dumps(content).encode())


def _add(folder: Path, name: str) -> None:
    try:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()) or target.exists():
            target = folder / "more.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}")
    except (OSError, ValueError):  # no file can be called so here
        (folder / "more.json").write_text("{}")


def _vouch(folder: Path) -> None:
    """Gives model.json the digests of what is there now, as whoever forges a package does."""
    file = folder / "model.json"
    try:
        content = json.loads(file.read_bytes())
        files: Mapping[str, Any] = content["files"]
        there = [path for path in files if (folder / path).is_file()]
        content["files"] = {**files, **{path: file_sha256(folder / path) for path in there}}
        file.write_bytes(json.dumps(content).encode())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return


def check_damaged_folder(template: ModelPackage, folder: Path, changes: list[Callable[[Path], None]]) -> None:
    package = Path(shutil.copytree(template.folder, folder / "package"))
    (folder / "secret.json").write_text(json.dumps({"key": SECRET}))
    for change in changes:
        try:
            change(package)
        except (OSError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError):
            continue  # what was changed before it does not let it be
    before = tree(folder)
    opened = opened_or_refused(package, folder / "cache")
    assert tree(folder) == before
    if opened is not None:
        check_opened(opened, package)
        assert open_package(package, NOBODY) == opened


def _packed(template: Path, draw: Callable[[Any], Any], target: Path) -> None:
    """Writes a zip of the package's entries, some renamed, doubled, of another kind, or with a false size."""
    with zipfile.ZipFile(template) as source, zipfile.ZipFile(target, "w") as archive:
        names = source.namelist()
        root = names[0].rpartition("/")[0]
        odd = draw(st.lists(st.integers(0, len(names) - 1), max_size=2))
        for index, name in enumerate(names):
            content, info = source.read(name), zipfile.ZipInfo(name)
            if index in odd:
                kind = draw(st.sampled_from(ODD_ENTRIES))
                other = draw(st.sampled_from(ODD_NAMES))
                if kind == "left out":
                    continue
                if kind in ("renamed", "inside"):
                    info = zipfile.ZipInfo(other if kind == "renamed" else f"{root}/{other}")
                if kind == "doubled":
                    archive.writestr(zipfile.ZipInfo(name), draw(st.binary(max_size=20)))
                if kind == "mode":
                    kinds = [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFSOCK, stat.S_ISUID]
                    info.external_attr = (draw(st.sampled_from(kinds)) | 0o777) << 16
                if kind == "content":
                    content = draw(st.sampled_from([b"", b"/etc/passwd", b"{}", b"\x80\x04N.", bytes(1 << 16)]))
                if kind == "deflated":
                    info.compress_type = draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
            archive.writestr(info, content)
        archive.comment = draw(st.binary(max_size=10))


def check_damaged_zip(template: ModelPackage, zipped: Path, folder: Path, draw: Callable[[Any], Any]) -> None:
    file, cache = folder / "model.zip", folder / "cache"
    (folder / "secret.json").write_text(SECRET)
    _packed(zipped, draw, file)
    content = bytearray(file.read_bytes())
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=2)):
        content[place] ^= draw(st.integers(1, 255))
    file.write_bytes(content)
    before = tree(folder)
    opened = opened_or_refused(file, cache)
    after = tree(folder)
    made = {path for path in after.keys() - before.keys() if not path.startswith("cache/.") and path != "cache"}
    assert {path: content for path, content in after.items() if path in before} == before
    if opened is None:
        assert made == set()
    else:
        # A name and a comment may change, and nothing that the package is.
        assert opened.digest == template.digest
        assert all(path.startswith(f"cache/{template.digest}") for path in made)
        check_opened(opened, cache)


@given(changes=st.lists(changes_of_folder(), min_size=1, max_size=2))
@settings(max_examples=30)
def test_a_damaged_or_forged_folder_is_refused_or_leads_nowhere_else(
    template: ModelPackage, tmp_path_factory: pytest.TempPathFactory, changes: list[Callable[[Path], None]]
) -> None:
    check_damaged_folder(template, tmp_path_factory.mktemp("damaged"), changes)


@given(data=st.data())
@settings(max_examples=30)
def test_a_damaged_or_forged_zip_is_refused_or_is_the_package(
    template: ModelPackage, zipped: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_damaged_zip(template, zipped, tmp_path_factory.mktemp("damaged"), data.draw)


@pytest.mark.faults
@pytest.mark.timeout(3000)
@given(changes=st.lists(changes_of_folder(), min_size=1, max_size=3))
@settings(max_examples=1000)
def test_a_thousand_damaged_folders(
    template: ModelPackage, tmp_path_factory: pytest.TempPathFactory, changes: list[Callable[[Path], None]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    check_damaged_folder(template, folder, changes)
    shutil.rmtree(folder)


@pytest.mark.faults
@pytest.mark.timeout(3000)
@given(data=st.data())
@settings(max_examples=1000)
def test_a_thousand_damaged_zips(
    template: ModelPackage, zipped: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    check_damaged_zip(template, zipped, folder, data.draw)
    shutil.rmtree(folder)
