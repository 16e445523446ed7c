import os
from pathlib import Path

import pytest

from nnunet_assets.core.text.file_pattern import FilePattern
from nnunet_assets.errors import ConfigError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder: Path, pattern: str, channels: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    return [(file.case, file.channel) for file in FilePattern(pattern, channels).find(folder)]


def test_nnunets_own_naming(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/liver_1_0000.nii.gz", "imagesTr/liver_1_0001.nii.gz", "imagesTr/notes.txt")
    assert found(tmp_path, "imagesTr/{case}_{channel}.nii.gz") == [("liver_1", "0000"), ("liver_1", "0001")]
    assert found(tmp_path, "imagesTr/{case}_0000.nii.gz") == [("liver_1", None)]


def test_bids_with_sessions_and_words_that_come_twice(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "sub-01/ses-3/anat/sub-01_ses-2_T1w.nii.gz")
    pattern = "sub-{case}/ses-{session}/anat/sub-{case}_ses-{session}_{channel}.nii.gz"
    assert found(tmp_path, pattern) == [("01_2", "T1w")]


def test_a_folder_a_case_with_anything_between(tmp_path: Path) -> None:
    touch(tmp_path, "p 1/scan t1_ce v2.nii", "p 1/scan flair v2.nii", "p 1/scan t1 v2.nii", "ü/scan t1_ce v3.nii")
    assert found(tmp_path, "{case}/scan {channel} v*.nii", ("t1_ce", "t1")) == [
        *(("p 1", "t1"), ("p 1", "t1_ce"), ("ü", "t1_ce"))
    ]


def test_signs_of_regular_expressions_are_only_signs(tmp_path: Path) -> None:
    touch(tmp_path, "a+(1).nii", "aa1xnii")
    assert found(tmp_path, "{case}+(1).nii") == [("a", None)]


def test_hidden_files_and_folders_in_a_files_place_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/._a.nii", "imagesTr/a.nii", "imagesTr/b.nii/inner", ".git/c.nii", "@eaDir/d.nii")
    touch(tmp_path, "imagesTr/~$e.nii")
    assert found(tmp_path, "imagesTr/{case}.nii") == [("a", None)]
    assert found(tmp_path, "*/{case}.nii") == [("a", None)]


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    folder = touch(tmp_path / "data", "x/a.nii")
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "linked").symlink_to(folder / "x", target_is_directory=True)
    assert found(folder, "{series}/{case}.nii") == [("linked_a", None), ("x_a", None)]


def test_circles_of_links_are_not_walked_again_and_again(tmp_path: Path) -> None:
    folder = touch(tmp_path / "data", "x/y/a.nii")
    for n in range(10):
        (folder / f"circle_{n}").symlink_to(folder, target_is_directory=True)
        (folder / f"x/up_{n}").symlink_to(folder, target_is_directory=True)
    assert found(folder, "*/*/*/*/*/*/*/*/*/*/{case}.nii") == []  # 10 to the 10 ways
    assert found(folder, "*/{session}/{case}.nii") == [("y_a", None)]


def test_a_second_pattern_puts_names_together_as_the_first(tmp_path: Path) -> None:
    touch(tmp_path, "7/labels of 01.nii")
    first = FilePattern("{case}/{session}.nii")
    (file,) = FilePattern("{session}/labels of {case}.nii", case_words=first.case_words).find(tmp_path)
    assert file.case == "01_7"
    with pytest.raises(ConfigError, match=r"must name a case by \{case\}, \{session\}, as the pattern of the images"):
        FilePattern("{case}.nii", case_words=first.case_words)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("/data/{case}.nii", "must be a path below SOURCE, such as 'imagesTr/{case}.nii.gz'"),
        ("../{case}.nii", "must be a path below SOURCE"),
        ("images//{case}.nii", "must be a path below SOURCE"),
        ("", "must be a path below SOURCE"),
        ("images/*.nii", "does not say where the name of the case is"),
        ("{channel}.nii", "does not say where the name of the case is"),
        ("{Case}.nii", "has braces around something else"),
        ("{case", "has braces around something else"),
        ("{}.nii", "has braces around something else"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FilePattern(pattern)


def test_a_pipe_is_passed_over_and_never_waited_for(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.nii")
    os.mkfifo(folder / "pipe.nii")
    (folder / "link.nii").symlink_to("pipe.nii")
    (folder / "dangling.nii").symlink_to("nowhere")  # whose name its reader says
    assert found(folder, "{case}.nii") == [("a", None), ("dangling", None)]
