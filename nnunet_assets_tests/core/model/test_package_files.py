import os
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.model import package_files
from nnunet_assets.core.model.package_files import (
    check_files,
    package_digest,
    read_description,
    read_steps,
    refuse_other_names,
)
from nnunet_assets.errors import DamagedFileError, PackageError
from nnunet_assets_tests.registry_builders import DESCRIPTION, write_package


def test_a_package_with_all_its_files_says_what_it_is(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    description = check_files(package)
    assert replace(description, files={}) == DESCRIPTION
    assert "fold_1/checkpoint_final.pth" in description.files
    assert check_files(package, package_digest(package)) == description


def test_the_digest_names_every_byte_of_a_package(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    same, other = write_package(tmp_path / "same"), write_package(tmp_path / "other", "other weights")
    assert package_digest(package) == package_digest(same) != package_digest(other)
    with pytest.raises(PackageError, match="another content than the package"):
        check_files(other, package_digest(package))


def test_a_file_that_is_changed_missing_or_too_many_is_named(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    (package / "fold_0" / "checkpoint_final.pth").write_text("others")
    with pytest.raises(PackageError, match=r"since it was made: fold_0/checkpoint_final\.pth.*Get the package"):
        check_files(package)
    (package / "fold_0" / "checkpoint_final.pth").unlink()
    with pytest.raises(PackageError, match=r"lacks what its model\.json names: fold_0/checkpoint_final\.pth"):
        check_files(package)
    package = write_package(tmp_path / "another")
    (package / "fold_0" / "run.py").write_text("")
    with pytest.raises(PackageError, match=r"does not name: fold_0/run\.py"):
        check_files(package)


def test_a_link_in_a_package_is_refused_whatever_it_leads_to(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    (tmp_path / "weights").write_bytes((package / "plans.json").read_bytes())
    (package / "plans.json").unlink()
    (package / "plans.json").symlink_to(tmp_path / "weights")
    with pytest.raises(PackageError, match=r"holds plans\.json, which is a link"):
        check_files(package)


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ({"model.json", "a"}, {"a"}, None),
        ({"model.json"}, set(), None),
        ({"a"}, {"a"}, "lacks what its model.json names: model.json"),
        ({"model.json"}, {"a", "b"}, "lacks what its model.json names: a, b"),
        ({"model.json", "a", "b", "c"}, {"a"}, "does not name: b, c"),
        ({"model.json", "x.PKL", "y.npz"}, {"x.PKL", "y.npz"}, "holds pickles, .*: x.PKL, y.npz"),
        ({"model.json", "a.pkl.txt"}, {"a.pkl.txt"}, None),
    ],
)
def test_the_files_are_those_that_are_named_and_no_pickles(found: set[str], wanted: set[str], said: str | None) -> None:
    if said is None:
        refuse_other_names(found, wanted, Path("p"))
        return
    with pytest.raises(PackageError, match=said):
        refuse_other_names(found, wanted, Path("p"))


def test_what_systems_leave_is_passed_over_and_what_leads_elsewhere_is_not(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    (package / "fold_0" / ".DS_Store").write_text("")
    (package / "empty").mkdir()
    assert check_files(package).files
    (package / "fold_0" / ".DS_Store").unlink()
    (package / "fold_0" / ".DS_Store").symlink_to(tmp_path)
    with pytest.raises(PackageError, match=r"holds fold_0/\.DS_Store, which is a link, a pipe or a device"):
        check_files(package)
    (package / "fold_0" / ".DS_Store").unlink()
    os.mkfifo(package / "pipe")
    with pytest.raises(PackageError, match="holds pipe, which is a link, a pipe or a device"):
        check_files(package)
    (package / "pipe").unlink()
    (package / "folder").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(PackageError, match="holds folder, which is a link"):
        check_files(package)


def test_a_folder_of_more_files_than_any_package_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = write_package(tmp_path / "package")
    n = len(list(package.rglob("*")))
    monkeypatch.setattr(package_files, "MOST_FILES", n)
    assert check_files(package).files
    monkeypatch.setattr(package_files, "MOST_FILES", n - 1)
    with pytest.raises(PackageError, match=f"holds more than {n - 1} files and folders"):
        check_files(package)


def test_a_description_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    with pytest.raises(PackageError, match=r"is no package: it has no model\.json"):
        read_description(file)
    file.mkdir()
    with pytest.raises(PackageError, match="cannot be read as the description of a model"):
        read_description(file)
    file.rmdir()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(PackageError, match="is a link, and a package has files alone"):
        read_description(file)


def test_without_a_file_there_are_no_steps(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "postprocessing.json") == ()
    (tmp_path / "postprocessing.json").write_text("[]")
    with pytest.raises(DamagedFileError):
        read_steps(tmp_path / "postprocessing.json")
