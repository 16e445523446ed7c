"""A package as a zip."""

import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages import package_zip
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.package_zip import place_in_results, write_package_zip
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets_tests.package_builders import ABOUT, DATASET, EXPERIMENT, cascade, model_of, write_model


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_package(model_of(write_model(tmp_path)), ABOUT, tmp_path / "package")


def test_it_holds_the_package_where_nnunet_looks_for_a_model(package: ModelPackage, tmp_path: Path) -> None:
    write_package_zip(package, tmp_path / "below/model.zip")
    with zipfile.ZipFile(tmp_path / "below/model.zip") as archive:
        entries = archive.infolist()
        place = f"{DATASET}/nnUNetTrainer__nnUNetPlans__2d"
        assert place_in_results(package) == place
        wanted = {f"{place}/{name}" for name in (*package.description.files, "model.json")}
        assert {entry.filename for entry in entries} == wanted
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {stat.filemode(entry.external_attr >> 16) for entry in entries} == {"-rw-r--r--"}
        assert archive.read(f"{place}/plans.json") == (package.folder / "plans.json").read_bytes()


def test_several_models_lie_where_they_overwrite_nothing(tmp_path: Path) -> None:
    package = write_package(model_of(cascade(tmp_path)), ABOUT, tmp_path / "package")
    place = place_in_results(package)
    assert place == f"{DATASET}/nnunet_assets/cascade-{package.digest[:12]}"
    write_package_zip(package, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert all(name.startswith(f"{place}/") for name in archive.namelist())


def test_a_variant_lies_in_a_results_folder_of_its_own_since_nnunet_calls_it_as_the_default(tmp_path: Path) -> None:
    member = write_model(tmp_path, replace(EXPERIMENT, variant="short"))
    package = write_package(model_of(member), ABOUT, tmp_path / "package")
    results = f"{DATASET}/nnunet_assets/short-{package.digest[:12]}"
    assert place_in_results(package) == f"{results}/{DATASET}/nnUNetTrainer__nnUNetPlans__2d"
    write_package_zip(package, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert all(name.startswith(f"{results}/{DATASET}/") for name in archive.namelist())
    assert open_package_or_zip(tmp_path / "model.zip", frozenset(), tmp_path / "cache").digest == package.digest


def test_what_is_there_is_not_written_over_and_a_full_disk_is_refused(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.zip").write_text("mine")
    with pytest.raises(PackageError, match="is there already"):
        write_package_zip(package, tmp_path / "mine.zip")
    monkeypatch.setattr(package_zip, "lacking_room", lambda folder, n_bytes, what: f"{what} more.")
    with pytest.raises(PackageError, match=r"The zip needs more\."):
        write_package_zip(package, tmp_path / "model.zip")
    assert not (tmp_path / "model.zip").exists()
