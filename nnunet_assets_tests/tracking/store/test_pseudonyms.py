"""What must not leave this machine, and what may."""

import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nnunet_assets.tracking.store.pseudonyms import Pseudonyms


@pytest.fixture
def pseudonyms(tmp_path: Path) -> Pseudonyms:
    splits = [{"train": ["liver_1", "liver_12"], "val": ["2"]}]
    (tmp_path / "Dataset001_Tiny").mkdir()
    (tmp_path / "Dataset001_Tiny" / "splits_final.json").write_text(json.dumps(splits))
    return Pseudonyms(tmp_path / "data" / "mlartifacts", tmp_path / "Dataset001_Tiny")


@pytest.mark.parametrize(
    "text",
    [
        "/home/smith/weights.pth",
        "/data/My Study/Dr Smith/weights.pth",
        "~/smith/weights.pth",
        "weights from /home/smith/weights.pth were used",
        "['/home/smith']",
        "file:///home/smith/x",
        "sqlite:////home/smith/mlflow.db",
        r"C:\\Users\\smith\\weights.pth",
        r"\\\\server\\smith",
    ],
)
def test_no_path_stays(pseudonyms: Pseudonyms, text: str) -> None:
    hidden = pseudonyms.hidden(text)
    assert "mith" not in hidden
    assert "path-" in hidden


@pytest.mark.parametrize(
    "text",
    [
        "short / nnUNetTrainer__nnUNetPlans__2d",
        "Dataset001_Tiny/short/nnUNetTrainer__nnUNetPlans__2d",
        "https://host.example/api/2.0",
        "3/4",
        "n/a",
        "2.8.1",
        "torch.nn.modules.conv.Conv3d",
        "liver",
        "liver_123",
    ],
)
def test_what_is_neither_path_nor_case_stays_as_it_is(pseudonyms: Pseudonyms, text: str) -> None:
    assert pseudonyms.hidden(text) == text


@pytest.mark.parametrize("text", ["liver_12", "liver_12.nii.gz", "liver_12_0000.nii.gz", "left out: liver_12, liver_1"])
def test_no_case_id_stays(pseudonyms: Pseudonyms, text: str) -> None:
    hidden = pseudonyms.hidden(text)
    assert "liver_1" not in hidden
    assert pseudonyms.of("case", "liver_12") in hidden


def test_keys_and_nested_values_are_hidden_and_numbers_stay(pseudonyms: Pseudonyms) -> None:
    case = pseudonyms.of("case", "liver_1")
    assert pseudonyms.hidden({"liver_1": [2, 0.5, None, True, ["liver_1"]]}) == {case: [2, 0.5, None, True, [case]]}


def test_pseudonyms_are_the_same_in_every_run_of_a_project_and_in_no_other(tmp_path: Path) -> None:
    first, again, other = (Pseudonyms(tmp_path / name / "mlartifacts", None) for name in ("a", "a", "b"))
    assert first.of("case", "x") == again.of("case", "x") != other.of("case", "x")
    assert first.of("case", "x") != first.of("case", "y")
    salt = tmp_path / "a" / "pseudonym_salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert [path.name for path in salt.parent.iterdir()] == ["pseudonym_salt"]


def test_a_file_system_without_hard_links_keeps_one_key_for_whoever_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first, second = (Pseudonyms(tmp_path / "mlartifacts", None) for _ in range(2))
    first_name = first.of("case", "x")
    assert second.of("case", "x") == first_name
    with ThreadPoolExecutor(8) as threads:
        others = [Pseudonyms(tmp_path / "b" / "mlartifacts", None) for _ in range(8)]
        assert len(set(threads.map(lambda one: one.of("case", "x"), others))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"b", "pseudonym_salt", "pseudonym_salt.lock"}


def test_without_splits_no_case_is_known(tmp_path: Path) -> None:
    assert Pseudonyms(tmp_path / "mlartifacts", tmp_path / "gone").hidden("liver_1") == "liver_1"
