"""What is kept of a result that was made anew."""

import os
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.verification import earlier_result_files as module
from nnunet_assets.core.verification.earlier_result_files import (
    EARLIER_FOLDER,
    earlier_result_files,
    write_keeping_earlier,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cv_summary.json"


def test_the_one_before_is_found_by_its_digest(file: Path) -> None:
    for number in range(3):
        write_keeping_earlier(file, {"n": number})

    assert load_json(file) == {"n": 2}
    assert list(earlier_result_files(file, json_sha256({"n": 0}))) == [{"n": 0}]
    assert [content["n"] for content in earlier_result_files(file)] == [1, 0]
    assert list(earlier_result_files(file, json_sha256({"n": 2}))) == []


def test_the_same_again_keeps_nothing(file: Path) -> None:
    for _ in range(2):
        write_keeping_earlier(file, {"n": 1})
    assert not (file.parent / EARLIER_FOLDER).exists()


def test_a_damaged_one_is_not_kept_and_a_damaged_kept_one_is_none(file: Path) -> None:
    file.write_text('{"n": ')
    write_keeping_earlier(file, {"n": 1})
    write_keeping_earlier(file, {"n": 2})
    (kept,) = (file.parent / EARLIER_FOLDER).iterdir()
    kept.write_text(kept.read_text().replace("1", "3"))
    assert list(earlier_result_files(file, json_sha256({"n": 1}))) == []
    kept.write_text("{")
    assert list(earlier_result_files(file)) == []


def test_a_result_of_another_name_is_another(file: Path) -> None:
    write_keeping_earlier(file, {"n": 1})
    write_keeping_earlier(file, {"n": 2})
    assert list(earlier_result_files(file.with_name("comparison.json"))) == []


def test_neither_too_many_nor_too_large_ones_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    for number in range(5):
        write_keeping_earlier(file, {"n": number})
    assert len(list(earlier_result_files(file))) == 2
    monkeypatch.setattr(module, "LARGEST_BYTES", 3)
    write_keeping_earlier(file, {"n": 5})
    assert list(earlier_result_files(file, json_sha256({"n": 4}))) == []


def test_one_of_just_the_largest_size_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_keeping_earlier(file, {"n": 1})
    monkeypatch.setattr(module, "LARGEST_BYTES", file.stat().st_size)
    write_keeping_earlier(file, {"n": 2})
    assert list(earlier_result_files(file)) == [{"n": 1}]
    (kept,) = (file.parent / EARLIER_FOLDER).iterdir()
    assert kept.name == f"{file.stem}-{json_sha256({'n': 1})[:16]}.json"


def test_the_oldest_go_and_the_newest_are_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    for number in range(6):
        write_keeping_earlier(file, {"n": number})
        if number:  # what was kept just now, a second later than the one before
            kept = file.parent / EARLIER_FOLDER / f"{file.stem}-{json_sha256({'n': number - 1})[:16]}.json"
            os.utime(kept, (1000 + number, 1000 + number))
    assert [one["n"] for one in earlier_result_files(file)] == [4, 3, 2]


def test_those_before_a_damaged_one_are_found(file: Path) -> None:
    for number in range(3):
        write_keeping_earlier(file, {"n": number})
    newest = next((file.parent / EARLIER_FOLDER).glob(f"*-{json_sha256({'n': 1})[:16]}.json"))
    newest.write_text("{")
    os.utime(newest, (2e9, 2e9))
    assert list(earlier_result_files(file)) == [{"n": 0}]
