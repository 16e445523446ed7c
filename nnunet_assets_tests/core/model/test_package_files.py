from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.model.package_files import check_files, package_digest
from nnunet_assets.errors import PackageError
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
