"""Files that go to a server elsewhere by the user's word name no place and no host."""

import json
import socket
from pathlib import Path

import pytest

from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.leaving_files import as_it_may_leave, hides_places
from nnunet_assets_tests.canaries import FOLDER, HOST, USER, text_of

OTHER_HOST = "node17.cluster.example"


@pytest.fixture
def fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fold with what nnU-Net and this package leave in it, in a folder that bears the user's name."""
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    data = tmp_path / USER / f"{FOLDER} of Jane" / "data"
    fold = data / "nnUNet_results" / "Dataset001_Tiny" / "nnUNetTrainer__nnUNetPlans__2d" / "fold_0"
    (fold / ".nnunet_assets").mkdir(parents=True)
    (fold / "validation").mkdir()
    entry = {"prediction_file": str(fold / "validation" / "a.nii.gz"), "metrics": {"1": {"Dice": 0.5}}}
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": [entry]}))
    debug = {
        "hostname": OTHER_HOST,
        "output_folder": str(fold),
        "preprocessed": str(data / "nnUNet_preprocessed" / "x"),
    }
    (fold / "debug.json").write_text(json.dumps(debug))
    manifest = {"details": {"host": HOST, "options": {"pretrained_weights": f"/home/{USER}/w.pth"}}}
    (fold / ".nnunet_assets" / "manifest.json").write_text(json.dumps(manifest, indent=2))
    log = (
        f"2026-01-01: on {OTHER_HOST}: Using splits from {data}/nnUNet_preprocessed/Dataset001_Tiny/splits_final.json\n"
    )
    (fold / "training_log_2026.txt").write_text(log * 3)
    return fold


def sent(fold: Path, file: Path) -> str:
    data = fold.parents[3]
    destination = Destination("http://elsewhere", data / "mlartifacts", True, data / "nnUNet_preprocessed")
    pseudonyms = destination.pseudonyms("Dataset001_Tiny")
    assert pseudonyms
    with as_it_may_leave(file, hides_places(destination, fold, pseudonyms)) as copy:
        assert copy.name == file.name
        return text_of(copy)


def test_no_file_of_a_fold_names_a_place_or_a_host(fold: Path) -> None:
    files = [file for file in fold.rglob("*") if file.is_file()]
    assert len(files) == 4
    for file in files:
        before, after = text_of(file), sent(fold, file)
        for word in (HOST, OTHER_HOST, USER, FOLDER, "Jane", "/home"):
            assert word not in after
        assert any(word in before for word in (HOST, OTHER_HOST, USER))
        assert after.count("\n") == before.count("\n")


def test_what_a_file_says_beside_them_stays(fold: Path) -> None:
    summary = json.loads(sent(fold, fold / "validation" / "summary.json"))
    place = "nnUNet_results/Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__2d/fold_0/validation/a.nii.gz"
    assert summary == {"metric_per_case": [{"prediction_file": place, "metrics": {"1": {"Dice": 0.5}}}]}
    assert json.loads(sent(fold, fold / "debug.json"))["hostname"].startswith("host-")


def test_a_host_of_a_short_name_is_one_only_where_it_is_said_to_be(fold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu")
    (fold / "debug.json").write_text('{"hostname": "gpu", "peak": {"gpu": 3}}')
    found = json.loads(sent(fold, fold / "debug.json"))
    assert found["hostname"].startswith("host-")
    assert found["peak"] == {"gpu": 3}


def test_pictures_and_what_stays_here_go_as_they_are(fold: Path) -> None:
    picture = fold / "progress.png"
    picture.write_bytes(b"\x89PNG")
    with as_it_may_leave(picture, str.upper) as file:
        assert file == picture
    with as_it_may_leave(fold / "debug.json", None) as file:
        assert file == fold / "debug.json"
