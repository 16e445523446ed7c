"""Packages that somebody changed, or made to be opened by others: each is refused in a sentence, and nothing is run."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import ForeignCodeError, NnunetAssetsError, PackageError
from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets_tests.package_builders import ABOUT, EXPERIMENT, PLANS, model_of, write_checkpoint, write_model
from nnunet_assets_tests.raw_builders import write_json

NOBODY: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    return write_package(model_of(write_model(folder), steps=[(1,)]), ABOUT, folder / "package").folder


@pytest.fixture
def package(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "package"))


def vouched(package: Path, *paths: str, **changes: Any) -> Path:
    """Returns a package whose model.json has the digests of what somebody put into it, and these changes."""
    content = json.loads((package / "model.json").read_text())
    content["files"] |= {path: file_sha256(package / path) for path in paths}
    write_json(package / "model.json", {**content, **changes})
    return package


def refused(package: Path, said: str, error: type[NnunetAssetsError] = PackageError, trusted: Any = NOBODY) -> None:
    with pytest.raises(error, match=said) as caught:
        open_package(package, trusted)
    assert str(package) in str(caught.value)


def test_an_untouched_copy_is_opened_with_paths_of_where_it_lies(package: Path) -> None:
    opened = open_package(package, NOBODY)
    assert opened.digest == file_sha256(package / "model.json")
    assert [file.is_file() for file in opened.usable.members[0].checkpoints] == [True, True]
    assert opened.usable.members[0].experiment == EXPERIMENT


def test_what_a_mask_depends_on_names_the_model_and_its_words_do_not(package: Path) -> None:
    before = open_package(package, NOBODY)
    after = open_package(vouched(package, licence="another", title="another"), NOBODY)
    assert after.usable.digest == before.usable.digest
    assert after.digest != before.digest
    write_json(package / "postprocessing.json", {"postprocessing_fns": [], "postprocessing_kwargs": []})
    assert open_package(vouched(package, "postprocessing.json"), NOBODY).usable.digest != before.usable.digest


@pytest.mark.parametrize(
    "name", ["postprocessing.pkl", "fold_0/x.PKL", "a.pickle", "below/a.joblib", "w.npy", "w.npz", "w.pt", "p.bin"]
)
def test_pickles_are_refused_and_not_read(package: Path, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/ran'\ntR.")
    refused(package, f"holds pickles.*{name}")


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", "postprocessing.json", "fold_1/checkpoint_final.pth"])
def test_a_changed_file_is_named(package: Path, name: str) -> None:
    with (package / name).open("ab") as file:
        file.write(b" ")
    refused(package, f"was changed since it was made: {name}")
    (package / name).unlink()
    refused(package, f"lacks what its model.json names: {name}")


@pytest.mark.parametrize("name", ["plans_old.json", "fold_0/debug.json", "fold_2/checkpoint_final.pth", "run.py"])
def test_a_file_that_nobody_vouches_for_is_named(package: Path, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("{}")
    refused(package, f"does not name: {name}")


def test_what_systems_leave_beside_files_is_passed_over(package: Path) -> None:
    (package / ".DS_Store").write_text("")
    (package / "fold_0/._checkpoint_final.pth").write_text("")
    assert open_package(package, NOBODY).description.kind == "single"


def _link_file(package: Path) -> None:
    (package / "plans.json").rename(package.parent / "plans.json")
    (package / "plans.json").symlink_to(package.parent / "plans.json")


def _link_folder(package: Path) -> None:
    (package / "fold_1").rename(package.parent / "fold_1")
    (package / "fold_1").symlink_to(package.parent / "fold_1")


def _dangling(package: Path) -> None:
    (package / "more").symlink_to("/nowhere")


def _pipe(package: Path) -> None:
    os.mkfifo(package / "pipe")


def _hidden_link(package: Path) -> None:
    (package / ".hidden").symlink_to("/etc")


@pytest.mark.parametrize("plant", [_link_file, _link_folder, _dangling, _pipe, _hidden_link])
def test_links_and_pipes_are_refused(package: Path, plant: Callable[[Path], None]) -> None:
    plant(package)
    refused(package, "is a link, a pipe or a device")


def test_a_path_that_leaves_the_folder_is_refused_before_it_is_looked_at(package: Path) -> None:
    (package.parent / "secret").write_text("secret")
    content = json.loads((package / "model.json").read_text())
    refused(vouched(package, files={**content["files"], "../secret": "0" * 64}), "lead out of the package")


def test_another_schema_is_refused(package: Path) -> None:
    refused(vouched(package, schema_version=2), "has schema version 2")


def test_a_folder_of_many_files_is_not_read_to_its_end(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunet_assets.core.model.package_files.MOST_FILES", 5)
    refused(package, "more than 5 files")


class _Runs:
    def __reduce__(self) -> Any:
        return (print, ("it ran",))


def test_a_checkpoint_with_code_is_refused_though_its_digest_is_right(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = package / "fold_0/checkpoint_final.pth"
    write_checkpoint(file, EXPERIMENT, 1, network_weights={"w": _Runs()})
    refused(vouched(package, "fold_0/checkpoint_final.pth"), "Nothing in it was run")
    write_checkpoint(file, EXPERIMENT, 1)
    refused(vouched(package, "fold_0/checkpoint_final.pth"), "is no checkpoint of a package")
    assert capsys.readouterr().out == ""


def test_code_in_plans_is_refused_unless_it_is_trusted(package: Path) -> None:
    plans = json.loads((package / "plans.json").read_text())
    plans["configurations"]["2d"]["preprocessor_name"] = "os"
    write_json(package / "plans.json", plans)
    refused(vouched(package, "plans.json"), "names code that is neither", ForeignCodeError)
    open_package(package, frozenset({"os"}))


def test_a_trainer_that_nnunet_does_not_have_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    member = write_model(tmp_path, replace(EXPERIMENT, trainer="TrainerOfMyOwn"))
    package = write_package(model_of(member), ABOUT, tmp_path / "package").folder
    refused(package, "was trained by 'TrainerOfMyOwn'.*NNUNET_ASSETS_TRUSTED_CODE")
    assert open_package(package, frozenset({"TrainerOfMyOwn"})).usable.members[0].experiment.trainer == "TrainerOfMyOwn"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"labels": {"background": 0, "other": 1}}, "has other labels than"), ({"file_ending": "nii"}, "cannot be used")],
)
def test_a_dataset_json_that_does_not_fit_is_refused(package: Path, changes: Any, said: str) -> None:
    content = json.loads((package / "dataset.json").read_text())
    write_json(package / "dataset.json", {**content, **changes})
    refused(vouched(package, "dataset.json"), said)


def test_steps_on_labels_that_the_model_does_not_predict_are_refused(package: Path) -> None:
    steps = json.loads((package / "postprocessing.json").read_text())
    steps["postprocessing_kwargs"] = [{"labels_or_regions": [1, 7]}]
    write_json(package / "postprocessing.json", steps)
    refused(vouched(package, "postprocessing.json"), "does not predict: 7")


def test_plans_without_the_configuration_are_refused(package: Path) -> None:
    write_json(package / "plans.json", {**PLANS, "configurations": {}})
    refused(vouched(package, "plans.json"), "has no configuration '2d'")


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_no_package(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / name, "is not there, or no folder")


def test_a_model_of_nnunet_is_no_package(tmp_path: Path) -> None:
    refused(write_model(tmp_path, Experiment("Dataset002_Other", "2d")).folder, r"is no package: it has no model\.json")
