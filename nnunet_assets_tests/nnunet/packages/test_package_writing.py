"""Packages of models whose weights are a few numbers, written by torch itself."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.errors import NnunetAssetsError, PackageError
from nnunet_assets.nnunet.packages import package_writing
from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.nnunet.packages.package_writing import package_bytes, write_package
from nnunet_assets.nnunet.packages.package_zip import write_package_zip
from nnunet_assets.nnunet.packages.slim_checkpoint import write_slim_checkpoint
from nnunet_assets_tests.canaries import CANARIES
from nnunet_assets_tests.package_builders import (
    ABOUT,
    CASE,
    DATASET_JSON,
    EXPERIMENT,
    PLACE,
    PLANS,
    cascade,
    model_of,
    write_model,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress


@pytest.mark.parametrize("kind", ["single", "cascade", "ensemble"])
def test_a_package_is_opened_as_it_was_written_and_says_nothing_of_the_training(tmp_path: Path, kind: str) -> None:
    members = {
        "single": lambda: [write_model(tmp_path)],
        "cascade": lambda: [cascade(tmp_path)],
        "ensemble": lambda: [write_model(tmp_path), cascade(tmp_path)],
    }[kind]()
    model = model_of(*members, steps=[(1, 2)])

    written = write_package(model, ABOUT, tmp_path / "package")

    opened = open_package(tmp_path / "package", frozenset())
    assert opened == written
    assert opened.description.kind == kind
    assert [one.experiment for one in opened.usable.members] == [one.experiment for one in members]
    assert [one.previous is None for one in opened.usable.members] == [one.previous is None for one in members]
    assert opened.usable.postprocessing == ((1, 2),)
    assert opened.usable.title == model.title
    assert package_bytes(model) >= sum(file.stat().st_size for file in (tmp_path / "package").rglob("*.pth"))

    write_package_zip(opened, tmp_path / "model.zip")
    words = [word.encode() for word in (*CANARIES, CASE, PLACE, str(tmp_path), tmp_path.name)]
    assert all(word in _bytes_of(tmp_path) for word in words[:4]), "nothing was planted"
    for place in (tmp_path / "package", tmp_path / "model.zip"):
        content = _bytes_of(place)
        assert [word for word in words if word.lower() in content.lower()] == []


def _bytes_of(place: Path) -> bytes:
    """Returns all bytes of a file or folder, names included, and what archives in it unpack to."""
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return b"\n".join(
        str(file.relative_to(place)).encode() + b"\n" + file.read_bytes() + _unpacked(file) for file in files
    )


def _unpacked(file: Path) -> bytes:
    if not zipfile.is_zipfile(file):
        return b""
    with zipfile.ZipFile(file) as archive:
        said = [
            *(repr([entry, entry.extra, entry.comment]).encode() for entry in archive.infolist()),
            *(archive.read(name) for name in archive.namelist()),
        ]
        return b"\n".join([archive.comment, *said])


def test_model_json_says_all_that_is_known(tmp_path: Path) -> None:
    about = replace(ABOUT, intended_use="Teaching.", notes=("One more.",), selection={"rule": "the best mean"})
    write_package(model_of(write_model(tmp_path)), about, tmp_path / "package")
    said = json.loads((tmp_path / "package/model.json").read_text())
    assert (said["licence"], said["intended_use"]) == ("CC-BY-4.0", "Teaching.")
    assert said["selection"] == {"rule": "the best mean"}
    assert said["numbers"]["dice"]["interval"] == {"low": 0.85, "high": 0.89}
    assert said["images"]["spacing_high"] == [4.0, 1.0, 1.0]
    assert said["images"]["channels"][0]["high"] == 400.5
    assert said["inputs"] == {"Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__2d": {"raw_hash": "0" * 64}}
    assert set(said["versions"]) == {"nnunetv2", "torch", "nnunet_assets"}
    assert said["notes"] == [package_writing.CANNOT_TRAIN, "One more."]
    files = {path: file_sha256(tmp_path / "package" / path) for path in said["files"]}
    assert files == said["files"]


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        ({"background": 0, "organ": "1", "tumour": [2]}, None, {"background": 0, "organ": 1, "tumour": 2}),
        ({"background": 0, "all": [1, 2], "core": [2]}, [1, 2], {"background": 0, "all": [1, 2], "core": [2]}),
    ],
)
def test_labels_are_numbers_as_nnunet_reads_them(tmp_path: Path, labels: Any, order: Any, said: Any) -> None:
    given = {**DATASET_JSON, "labels": labels, **({"regions_class_order": order} if order else {})}
    package = write_package(model_of(write_model(tmp_path, dataset_json=given)), ABOUT, tmp_path / "package")
    assert package.description.labels == said
    assert package.description.regions_class_order == (tuple(order) if order else None)
    assert json.loads((package.folder / "dataset.json").read_text())["labels"] == labels


def test_the_same_model_makes_the_same_bytes(tmp_path: Path) -> None:
    model = model_of(write_model(tmp_path))
    for name in ("a", "b"):
        write_package_zip(write_package(model, ABOUT, tmp_path / name), tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_package_of_a_package_is_the_same(tmp_path: Path) -> None:
    first = write_package(model_of(write_model(tmp_path), cascade(tmp_path)), ABOUT, tmp_path / "a")
    second = write_package(first.usable, ABOUT, tmp_path / "b")
    assert second.description.files == first.description.files
    assert second.usable.digest == first.usable.digest


def test_its_size_is_said_before_and_how_far_it_is(tmp_path: Path) -> None:
    progress = RecordedProgress()
    write_package(model_of(write_model(tmp_path)), ABOUT, tmp_path / "package", progress)
    assert progress.said[0].startswith("The package takes up to 2 MB")
    assert progress.steps == [(package_writing.PACKED, n, 2) for n in range(3)]


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_writing, "lacking_room", lambda folder, n_bytes, what: f"{what} more.")
    with pytest.raises(PackageError, match=r"The package needs more\. Make room"):
        write_package(model_of(write_model(tmp_path / "results")), ABOUT, tmp_path / "package")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    model = model_of(write_model(tmp_path / "results"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "link"):
        with pytest.raises(PackageError, match="is there already"):
            write_package(model, ABOUT, tmp_path / name)


def test_an_end_in_between_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 0

    def interrupted(source: Path, target: Path) -> None:
        nonlocal n
        n += 1
        if n == 2:
            raise KeyboardInterrupt
        write_slim_checkpoint(source, target)

    monkeypatch.setattr(package_writing, "write_slim_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_package(model_of(write_model(tmp_path / "results")), ABOUT, tmp_path / "package")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_checkpoint_that_changed_meanwhile_makes_no_package(tmp_path: Path) -> None:
    known = {f"{EXPERIMENT.dataset}/{EXPERIMENT.name}": {"fold_1/checkpoint_final.pth": "0" * 64}}
    with pytest.raises(PackageError, match=r"checkpoint_final\.pth changed while"):
        write_package(model_of(write_model(tmp_path)), replace(ABOUT, inputs=known), tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    ("other", "options", "said"),
    [
        (replace(EXPERIMENT, dataset="Dataset002_Other"), {}, "are of two datasets"),
        (
            replace(EXPERIMENT, configuration="2d_large"),
            {"dataset_json": {**DATASET_JSON, "labels": {"background": 0, "organ": 1}}},
            "have other labels in their dataset.json",
        ),
        (EXPERIMENT, {"folds": ("fold_0",)}, "is in the model twice"),
        (replace(EXPERIMENT, configuration="2d_large"), {"plans": {**PLANS, "configurations": {}}}, "no configuration"),
    ],
)
def test_members_that_do_not_belong_together_are_refused(tmp_path: Path, other: Any, options: Any, said: str) -> None:
    first = write_model(tmp_path / "one")
    second = write_model(tmp_path / "two", other, **options)
    with pytest.raises(NnunetAssetsError, match=said):
        write_package(model_of(first, second), ABOUT, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_folds_validated_by_their_best_checkpoint_keep_its_name(tmp_path: Path) -> None:
    package = write_package(
        model_of(write_model(tmp_path, checkpoint="checkpoint_best.pth")), ABOUT, tmp_path / "package"
    )
    assert package.description.members[0].checkpoint == "checkpoint_best.pth"
    assert package.usable.members[0].checkpoints[0].name == "checkpoint_best.pth"
