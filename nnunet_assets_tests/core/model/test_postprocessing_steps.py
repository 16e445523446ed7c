"""Postprocessing as nnU-Net writes it and as this package reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.model.package_files import read_steps
from nnunet_assets.core.model.postprocessing_steps import STEP_FUNCTION, parse_steps, steps_to_json
from nnunet_assets.errors import PackageError


def written(folder: Path, *kwargs: Any, function: str = STEP_FUNCTION) -> Path:
    file = folder / "postprocessing.json"
    content = {"postprocessing_fns": [function] * len(kwargs), "postprocessing_kwargs": list(kwargs)}
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("steps", [(), ((1,),), ((1, 2), (2,)), ((1, 2, 3), (1,), (3,))])
def test_steps_come_back_as_they_were_written(tmp_path: Path, steps: tuple[tuple[int, ...], ...]) -> None:
    file = tmp_path / "postprocessing.json"
    file.write_text(json.dumps(steps_to_json(steps)))
    assert read_steps(file) == steps


def test_a_model_without_the_file_has_no_steps(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "postprocessing.json") == ()


@pytest.mark.parametrize(
    ("wanted", "step"), [(2, (2,)), ([2, 1], (1, 2)), ([[1, 2], 3], (1, 2, 3)), ([[2, 3], [3]], (2, 3))]
)
def test_labels_and_regions_are_read_as_nnunet_writes_them(tmp_path: Path, wanted: Any, step: tuple[int, ...]) -> None:
    assert read_steps(written(tmp_path, {"labels_or_regions": wanted})) == (step,)


def test_nnunets_background_is_the_only_one(tmp_path: Path) -> None:
    assert read_steps(written(tmp_path, {"labels_or_regions": 1, "background_label": 0})) == ((1,),)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        [],
        None,
        {"labels_or_regions": []},
        {"labels_or_regions": 0},
        {"labels_or_regions": -1},
        {"labels_or_regions": True},
        {"labels_or_regions": 1.0},
        {"labels_or_regions": "1"},
        {"labels_or_regions": [1, []]},
        {"labels_or_regions": [1, 0]},
        {"labels_or_regions": 1, "background_label": 2},
        {"labels_or_regions": 1, "fill": 2},
    ],
)
def test_what_nnunet_does_not_take_is_refused_with_the_file(tmp_path: Path, arguments: Any) -> None:
    file = written(tmp_path, arguments)
    with pytest.raises(PackageError, match="nnU-Net does not take") as caught:
        read_steps(file)
    assert str(file) in str(caught.value)


def test_another_function_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"'os\.system', which is not nnU-Net's one step"):
        read_steps(written(tmp_path, {"labels_or_regions": 1}, function="os.system"))


def test_of_several_other_functions_the_first_is_named(tmp_path: Path) -> None:
    content = {"postprocessing_fns": [STEP_FUNCTION, "os.system", "os.remove"], "postprocessing_kwargs": [{}] * 3}
    with pytest.raises(PackageError, match=r"'os\.system'"):
        parse_steps(content, tmp_path)


@pytest.mark.parametrize(
    "content",
    [{}, {"postprocessing_fns": []}, {"postprocessing_fns": [STEP_FUNCTION], "postprocessing_kwargs": []}],
)
def test_a_file_that_names_no_postprocessing_is_refused(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "postprocessing.json"
    file.write_text(json.dumps(content))
    with pytest.raises(PackageError, match="does not say which postprocessing"):
        read_steps(file)
