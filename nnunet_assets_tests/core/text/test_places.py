"""What is shown names no place on a disk, and is otherwise as it was."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.text.places import Places

PROJECT = Path("/mnt/Jane Doe's disk (old)/project, new")
PLACES = Places.of(Roots(Path("/srv/raw"), PROJECT / "data/pre processed", PROJECT / "data/nnUNet_results"), PROJECT)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{PROJECT}/data/nnUNet_results/Dataset001_A/x.json is torn.", "nnUNet_results/Dataset001_A/x.json is torn."),
        (f"{PROJECT}/data/pre processed/Dataset001_A is empty.", "nnUNet_preprocessed/Dataset001_A is empty."),
        ("There is no /srv/raw.", "There is no nnUNet_raw."),
        (f"'{PROJECT}/experiments/a.yaml'", "'experiments/a.yaml'"),
        (f"Look into {PROJECT}.", "Look into the project's folder."),
        ("/srv/raw2/x is another.", "x is another."),
        ("/home/jane/nnUNet_results/Dataset004_Hip/t.json: no", "nnUNet_results/Dataset004_Hip/t.json: no"),
        ("/home/jane doe/x y/Dataset004_Hip/t.json", "Dataset004_Hip/t.json"),
        ("/data/T__P__2d/fold_0/validation/a.nii.gz", "T__P__2d/fold_0/validation/a.nii.gz"),
        (r"C:\Users\jane\nnUNet_results\Dataset004_Hip\a", r"nnUNet_results\Dataset004_Hip\a"),
        (r"\\server\share\jane\a.nii.gz", "a.nii.gz"),
        ("~/secret/a.nii.gz and /x/y/b.nii.gz;", "a.nii.gz and b.nii.gz;"),
        ("sqlite:////home/jane/mlflow.db", "mlflow.db"),
        ("file:///home/jane/a.html", "a.html"),
        ("[Errno 2] No such file: '/home/jane/a.txt'", "[Errno 2] No such file: 'a.txt'"),
        ("(/home/jane/a.txt)", "(a.txt)"),
        ("/a/b is bad; use /c/Dataset001_X/z", "b is bad; use Dataset001_X/z"),
    ],
)
def test_of_a_path_is_shown_what_it_is_and_not_where(text: str, shown: str) -> None:
    assert PLACES.hidden(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Dataset004_Hippocampus / short / nnUNetTrainer__nnUNetPlans__2d",
        "short/nnUNetTrainer__nnUNetPlans__2d is first",
        "Dice / IoU, 1/2 of 3/4, km/h, organ/lesion, and/or",
        "https://example.org/a/b/Dataset001_X and http://127.0.0.1:5000/#/experiments/1",
        "val_dice/tumor (core)",
        "a: b\\c, \\cite{x}, 50 \\% / 60 \\%",
        "1.0 × 2.0 × 5.0 mm / voxel",
        "/",
        "",
    ],
)
def test_what_is_no_path_stays(text: str) -> None:
    assert PLACES.hidden(text) == text
    assert Places().hidden(text) == text


PART = st.text(st.sampled_from("abcXYZ019 _-.,()'&ä"), min_size=1, max_size=12).map(lambda part: f"q{part}q")
SENTENCES = ("{} is torn.", "Case 'a' has no prediction {}. Predict it.", "'{}'", "({})", "see {}: it", "{}")


@given(st.lists(PART, min_size=1, max_size=5), st.lists(PART, max_size=3), st.sampled_from(SENTENCES))
def test_nothing_above_a_known_folder_is_shown_whatever_its_name(above: Any, below: Any, sentence: Any) -> None:
    root = Path("/", "canary", *above)
    places = Places.of(Roots(root / "raw", root / "pre", root / "results"))
    path = str(Path(root, "results", *below))
    assert places.hidden(sentence.format(path)) == sentence.format("/".join(["nnUNet_results", *below]))


def test_a_project_in_the_root_of_all_folders_takes_no_stroke_for_itself() -> None:
    root = Path("/")
    places = Places.of(Roots(root, root, root), root)
    assert places.hidden("Dice / IoU of Dataset001_A / short") == "Dice / IoU of Dataset001_A / short"


def test_all_texts_of_a_json_value_are_looked_at() -> None:
    value = {"a": ["/x/y/z.txt", {"b": "/x/y/w.txt"}], "n": 3, "none": None}
    assert Places().hidden_in(value) == {"a": ["z.txt", {"b": "w.txt"}], "n": 3, "none": None}
