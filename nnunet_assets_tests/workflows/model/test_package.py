"""Experiments of a project, packed; their checkpoints hold a few numbers."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import FoldError, NnunetAssetsError, PackageError, SummaryError
from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import package
from nnunet_assets.workflows.model.package import PackagedModel, packable_named, package_model, package_named
from nnunet_assets.workflows.model.usable import usable_experiment
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.package_builders import ABOUT, DATASET, EXPERIMENT, FOLDS, write_checkpoint, write_finished
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import write_json
from nnunet_assets_tests.recorded_progress import RecordedProgress

LARGE = replace(EXPERIMENT, configuration="2d_large")
DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}, folds: 2}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: 2d, licence: CC-BY-4.0, intended_use: Teaching.}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: 2d_large, licence: CC-BY-4.0}}
---
type: nnunet_assets.components.Ensemble
attributes: {{dataset: {DATASET}, name: both, members: [2d, 2d_large], licence: CC0-1.0}}
"""
Harm = Callable[[Settings], None]
NAME = f"{DATASET}/{EXPERIMENT.name}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_project(tmp_path / "project", {"one/defs.yaml": DECLARED})
    settings = Settings.from_environment(tmp_path / "project", {})
    write_finished(settings.roots)
    return settings


def pack(settings: Settings, output: Path, **options: object) -> PackagedModel:
    return package_named(settings, NAME, output, progress=RecordedProgress(), **options)  # type: ignore[arg-type]


def test_a_folder_holds_the_folds_and_what_is_known_of_them(settings: Settings, tmp_path: Path) -> None:
    packaged = pack(settings, tmp_path / "out/model")

    opened = open_package(tmp_path / "out/model", frozenset())
    assert (packaged.digest, packaged.description) == (opened.digest, opened.description)
    assert packaged.n_bytes == sum(file.stat().st_size for file in opened.folder.rglob("*") if file.is_file())
    assert packaged.place is None
    description = opened.description
    assert (description.licence, description.intended_use) == ("CC-BY-4.0", "Teaching.")
    assert description.numbers["dice"].mean == 0.5
    checkpoint = EXPERIMENT.fold_folder(settings.roots, "fold_1") / "checkpoint_final.pth"
    assert description.inputs[NAME]["fold_1/checkpoint_final.pth"] == file_sha256(checkpoint)
    assert description.title == f"{EXPERIMENT.title}, 2 folds"


def test_a_zip_holds_the_same_and_the_command_outdoes_the_declaration(settings: Settings, tmp_path: Path) -> None:
    packaged = pack(settings, tmp_path / "out/model.ZIP", licence="MIT", intended_use="Nothing.")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.ZIP"]
    assert packaged.n_bytes == packaged.path.stat().st_size
    assert packaged.place == NAME
    opened = open_package_or_zip(packaged.path, frozenset(), tmp_path / "cache")
    assert opened.digest == packaged.digest
    assert (opened.description.licence, opened.description.intended_use) == ("MIT", "Nothing.")


def test_the_model_of_every_case_is_packed_alone(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FoldError, match="fold_all"):
        pack(settings, tmp_path / "out/model", full_model=True)
    write_finished(settings.roots, folds=["fold_all"])
    packaged = pack(settings, tmp_path / "out/model", full_model=True)
    assert packaged.description.members[0].folds == ("fold_all",)
    assert packaged.description.title.endswith("the model of every case")
    assert "trained on every case" in packaged.description.numbers["dice"].estimand


def test_a_declared_ensemble_is_packed_with_all_its_members_and_its_own_numbers(
    settings: Settings, tmp_path: Path
) -> None:
    write_finished(settings.roots, LARGE)
    both = Experiment.ensemble(DATASET, "both")
    for fold in FOLDS:
        write_fold(settings.roots, both, fold, {f"{fold}_case": HIGHER})
    name = "/".join(both.key_prefix)
    found = packable_named(read_project(settings.project), name)
    assert (found.members, found.folds) == ((EXPERIMENT, LARGE), FOLDS)
    assert (found.licence, found.intended_use) == ("CC0-1.0", None)

    packaged = package_named(settings, name, tmp_path / "model", progress=RecordedProgress())

    description = packaged.description
    assert (description.kind, description.title) == ("ensemble", f"{both.title}, 2 members of 2 folds")
    assert [member.weight for member in description.members] == [0.5, 0.5]
    assert set(description.inputs) == {NAME, f"{DATASET}/{LARGE.name}"}
    assert "by the mean of one fold a member" in description.numbers["dice"].estimand
    assert [one.experiment for one in open_package(packaged.path, frozenset()).usable.members] == [EXPERIMENT, LARGE]


def _unfinished(settings: Settings) -> None:
    (EXPERIMENT.fold_folder(settings.roots, "fold_1") / ".nnunet_assets/COMMIT").unlink()


def _changed(settings: Settings) -> None:
    write_checkpoint(EXPERIMENT.fold_folder(settings.roots, "fold_1") / "checkpoint_final.pth", EXPERIMENT, 7)


def _mixed(settings: Settings) -> None:
    fold = EXPERIMENT.fold_folder(settings.roots, "fold_1") / ".nnunet_assets"
    content = json.loads((fold / "manifest.json").read_text())
    content["inputs"]["raw_hash"] = "other"
    write_json(fold / "manifest.json", content)
    write_json(fold / "COMMIT", {"manifest_sha256": file_sha256(fold / "manifest.json")})


def _other_plans(settings: Settings) -> None:
    file = EXPERIMENT.model_folder(settings.roots) / "plans.json"
    write_json(file, {**json.loads(file.read_text()), "plans_name": "others"})


def _no_checkpoint(settings: Settings) -> None:
    (EXPERIMENT.fold_folder(settings.roots, "fold_0") / "checkpoint_final.pth").unlink()


def _there(settings: Settings) -> None:
    (settings.project.parent / "out/model.zip").mkdir(parents=True)
    (settings.project.parent / "out/model").mkdir()


@pytest.mark.parametrize(
    ("harm", "error", "said"),
    [
        (_unfinished, FoldError, "1 of 2 is not finished"),
        (_changed, FoldError, "1 of 2 is not finished, or changed since: fold_1"),
        (_mixed, SummaryError, "must not be averaged"),
        (_other_plans, FoldError, "not what the folds of"),
        (_no_checkpoint, FoldError, "fold_0"),
        (_there, PackageError, "is there already"),
    ],
)
def test_what_cannot_be_packed_is_refused_and_nothing_written(
    settings: Settings, tmp_path: Path, harm: Harm, error: type[NnunetAssetsError], said: str
) -> None:
    harm(settings)
    before = sorted(tmp_path.rglob("out/*"))
    for name in ("model", "model.zip"):
        with pytest.raises(error, match=said):
            pack(settings, tmp_path / "out" / name)
    assert sorted(tmp_path.rglob("out/*")) == before


def test_a_disk_without_room_for_folder_and_zip_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(package, "lacking_room", lambda folder, n_bytes, what: asked.append(n_bytes) or f"{what} more.")
    with pytest.raises(PackageError, match="The package and its zip need more"):
        pack(settings, tmp_path / "out/model.zip")
    assert asked[0] > 2 * 2 * (1 << 20)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_end_while_it_is_zipped_leaves_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        package_model(
            usable_experiment(settings, EXPERIMENT, FOLDS), ABOUT, tmp_path / "out/model.zip", RecordedProgress()
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_to_nowhere_is_there_already(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PackageError, match="is there already"):
        pack(settings, tmp_path / "model")


def test_a_zip_goes_into_a_folder_that_is_there_and_says_whether_nnunet_would_overwrite(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_by_its_name in (True, False):
        monkeypatch.setattr(package, "is_by_its_name", lambda _, found=is_by_its_name: found)
        for name in (f"model {is_by_its_name}.zip", f"model {is_by_its_name}"):
            packaged = pack(settings, tmp_path / name)
            assert packaged.may_overwrite is (is_by_its_name and name.endswith(".zip"))
