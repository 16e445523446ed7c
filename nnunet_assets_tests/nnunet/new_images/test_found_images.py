"""New images found by name: as nnU-Net names them, as files, and by a pattern."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.errors import ConfigError, PredictionError
from nnunet_assets.nnunet.new_images.found_images import FoundImages, find_images


def description(*channels: str, ending: str = ".nii.gz") -> DatasetDescription:
    return DatasetDescription(channels, {"background": 0, "organ": 1}, ending, 3, None, {})


ONE, TWO = description("CT"), description("T1", "T2")


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def files(found: FoundImages, folder: Path) -> dict[str, list[str]]:
    return {case.case: [path.relative_to(folder).as_posix() for path in case.images] for case in found.cases}


def test_a_folder_named_as_nnunet_does(tmp_path: Path) -> None:
    put(
        tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_x_0000.nii.gz", "a_x_0001.nii.gz", "notes.txt", "._b_0000.nii.gz"
    )
    found = find_images([tmp_path], TWO)
    assert files(found, tmp_path) == {
        "a_x": ["a_x_0000.nii.gz", "a_x_0001.nii.gz"],
        "b": ["b_0000.nii.gz", "b_0001.nii.gz"],
    }
    assert [finding.code for finding in found.findings] == ["D059"]


def test_what_is_wrong_in_a_folder_is_a_finding_with_the_file(tmp_path: Path) -> None:
    put(tmp_path / "images", "a_0000.nii.gz", "b.nii.gz", "c_0000.nrrd")
    found = find_images([tmp_path / "images"], TWO)
    assert {finding.code: finding.severity for finding in found.findings} == {
        "D019": "warning",
        "D022": "error",
        "D025": "error",
    }
    assert "images/b.nii.gz" in [finding.file for finding in found.findings]


@pytest.mark.parametrize(
    ("names", "of", "cases"),
    [
        (["scan.nii.gz"], ONE, {"scan": ["scan.nii.gz"]}),
        (["p1_0000.nii.gz", "q.nii.gz"], ONE, {"p1": ["p1_0000.nii.gz"], "q": ["q.nii.gz"]}),
        (["p_0001.nii.gz", "p_0000.nii.gz"], TWO, {"p": ["p_0000.nii.gz", "p_0001.nii.gz"]}),
    ],
)
def test_files_are_cases_by_their_names(
    tmp_path: Path, names: Sequence[str], of: DatasetDescription, cases: Any
) -> None:
    put(tmp_path, *names)
    assert files(find_images([tmp_path / name for name in names], of), tmp_path) == cases


@pytest.mark.parametrize(
    ("names", "of", "said"),
    [
        (["scan.nrrd"], ONE, "files that end in .nii.gz, and scan.nrrd do not"),
        (["p.nii.gz"], TWO, "p.nii.gz has no channel number, and the model takes 2 channels"),
        (["p_0000.nii.gz"], TWO, "1 of 1 cases do not have exactly the channels 0000, 0001: p"),
        (["p_0001.nii.gz"], ONE, "do not have exactly the channels 0000: p; the first has 0001"),
        (["a/p.nii.gz", "b/p.nii.gz"], ONE, "would both be the case 'p'"),
        (["p.nii.gz", "p_0000.nii.gz"], ONE, "would both be the case 'p'"),
    ],
)
def test_files_that_make_up_no_cases_are_refused(
    tmp_path: Path, names: Sequence[str], of: DatasetDescription, said: str
) -> None:
    put(tmp_path, *names)
    with pytest.raises(PredictionError, match=re.escape(said)):
        find_images([tmp_path / name for name in names], of)


def test_what_is_not_there_and_mixtures_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.nii.gz")
    with pytest.raises(PredictionError, match=r"There is no .*nowhere"):
        find_images([tmp_path / "nowhere"], ONE)
    with pytest.raises(PredictionError, match="Give one folder alone, or files alone"):
        find_images([tmp_path, tmp_path / "a.nii.gz"], ONE)
    with pytest.raises(PredictionError, match="Give the folder, not its files"):
        find_images([tmp_path / "a.nii.gz"], ONE, pattern="{case}.nii.gz")


@pytest.mark.parametrize(
    ("names", "of", "pattern", "case"),
    [
        (["p1/ct.nii.gz"], ONE, "{case}/ct.nii.gz", "p1"),
        (["p1_T2.nii.gz", "p1_T1.nii.gz"], TWO, "{case}_{channel}.nii.gz", "p1"),
        (["p1_10.nii.gz", "p1_9.nii.gz"], TWO, "{case}_{channel}.nii.gz", "p1"),
        (["p 1/ct.nii.gz"], ONE, "{case}/ct.nii.gz", "p_1"),
    ],
)
def test_a_pattern_finds_any_naming(
    tmp_path: Path, names: Sequence[str], of: DatasetDescription, pattern: str, case: str
) -> None:
    put(tmp_path, *names)
    found = find_images([tmp_path], of, pattern=pattern)
    assert list(files(found, tmp_path)) == [case]
    assert sorted(files(found, tmp_path)[case]) == sorted(names)


def test_channels_of_a_pattern_come_in_the_models_order(tmp_path: Path) -> None:
    put(tmp_path, "p/adc.nii.gz", "p/flair.nii.gz", "q_T1.nii.gz", "q_T2.nii.gz")
    by_option = find_images([tmp_path], TWO, pattern="{case}/{channel}.nii.gz", channels=("flair", "adc"))
    assert files(by_option, tmp_path) == {"p": ["p/flair.nii.gz", "p/adc.nii.gz"]}
    by_name = find_images([tmp_path], description("T2", "T1"), pattern="{case}_{channel}.nii.gz", channels=("T2", "T1"))
    assert files(by_name, tmp_path)["q"] == ["q_T2.nii.gz", "q_T1.nii.gz"]


@pytest.mark.parametrize(
    ("pattern", "of", "said"),
    [
        ("{case}.nii.gz", TWO, "The model takes 2 channels (T1, T2), and the pattern has one file a case"),
        ("{case}_{channel}.nii.gz", description("T1", "T2", "T3"), "and the pattern has the channels T1, T2"),
        ("x/{case}.nii.gz", ONE, "finds no file in"),
        ("{case}_T1.*", ONE, "and the pattern finds a_T1.txt"),
    ],
)
def test_a_pattern_that_does_not_give_the_models_channels_is_refused(
    tmp_path: Path, pattern: str, of: DatasetDescription, said: str
) -> None:
    put(tmp_path, "a_T1.nii.gz", "a_T2.nii.gz", "a_T1.txt")
    with pytest.raises(PredictionError, match=re.escape(said)):
        find_images([tmp_path], of, pattern=pattern)
    with pytest.raises(ConfigError):
        find_images([tmp_path], of, pattern="/{case}")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9][a-z0-9_.]{0,7}[a-z]", fullmatch=True), st.just(None), min_size=1, max_size=4
    )
)
def test_whatever_files_are_named_each_is_in_one_case(tmp_path_factory: Any, names: dict[str, None]) -> None:
    folder = put(tmp_path_factory.mktemp("any"), *(f"{name}_000{k}.nii.gz" for name in names for k in (0, 1)))
    of_folder = find_images([folder], TWO)
    of_files = find_images(sorted(folder.iterdir()), TWO)
    assert files(of_folder, folder) == files(of_files, folder)
    assert sorted(path for paths in files(of_files, folder).values() for path in paths) == sorted(
        path.name for path in folder.iterdir()
    )
