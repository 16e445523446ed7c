"""Packages of models whose weights are a few numbers, written by torch itself."""

from pathlib import Path

import pytest

from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets_tests.package_builders import ABOUT, cascade, model_of, write_model


@pytest.mark.parametrize("kind", ["single", "cascade", "ensemble"])
def test_a_package_is_opened_as_it_was_written(tmp_path: Path, kind: str) -> None:
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
    assert opened.usable.postprocessing == ((1, 2),)
    assert opened.usable.title == model.title
