"""What was read of a case is used again while its files are as they were, and never when they might not be."""

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files import digests
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.cases import case_check, case_reading, fact_cache
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset
from nnunet_assets_tests.intake_defects import DEFECTS, image_of, label_of
from nnunet_assets_tests.raw_builders import (
    DATASET,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress

N_CASES = 6


@pytest.fixture(autouse=True)
def _no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of these tests are younger than two seconds, and are believed all the same."""
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "raw", n_cases=N_CASES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "case_facts.json"


def look(folder: Path, path: Path, *, rehash: bool = False) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, 3, cache=FactCache(path, rehash=rehash))


def as_shown(found: RawDataset) -> dict[str, Any]:
    """Returns all that a look found, but for how many cases it read."""
    return {name: value for name, value in vars(found).items() if name != "n_read"}


def test_a_second_look_reads_nothing_and_finds_the_same(folder: Path, path: Path) -> None:
    for index, name in enumerate(("NaN", "an origin", "half a label", "a cut file", "a copy")):
        DEFECTS[name].spoil(folder, f"case_{index}")
    first, second = look(folder, path), look(folder, path)
    assert (first.n_read, second.n_read) == (N_CASES, 0)
    assert len(first.findings) >= 5
    assert as_shown(first) == as_shown(second)


def test_a_second_look_opens_no_image(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look(folder, path)
    monkeypatch.setattr(case_reading, "check_case", lambda *_: pytest.fail("a file was read"))
    assert look(folder, path).n_cases == N_CASES


def test_a_second_look_asks_once_about_each_file(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look(folder, path)
    asked: list[str] = []
    ask = os.stat

    def counted(file: Any, **how: Any) -> os.stat_result:
        asked.append(str(file))
        return ask(file, **how)

    monkeypatch.setattr(os, "stat", counted)
    look(folder, path)
    files = [str(file) for file in folder.glob("*Tr/*")]
    assert sorted(name for name in asked if name.endswith(".nii.gz")) == sorted(files)


@pytest.mark.parametrize("change", ["image", "label", "time", "copied over", "another disk", "taken away"])
def test_a_case_whose_file_changed_is_read_again_and_no_other(folder: Path, path: Path, change: str) -> None:
    before = look(folder, path)
    image, label = image_of(folder, "case_1"), label_of(folder, "case_1")
    if change == "image":
        write_volume(image, tiny_image(99))
    elif change == "label":
        write_volume(label, tiny_label() // 2)
    elif change == "time":
        os.utime(label, (1e9, 1e9))
    elif change == "copied over":  # of the same size, with the old time: the change time tells
        times, content = label.stat(), bytearray(label.read_bytes())
        content[9] ^= 0xFF  # the operating system in gzip's header
        label.write_bytes(content)
        os.utime(label, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "another disk":
        shutil.copy2(label, label.with_suffix(".new"))
        label.with_suffix(".new").replace(label)
    else:
        label.unlink()
    after = look(folder, path)
    assert after.n_read == 1
    assert (after.content_hash == before.content_hash) is (change in ("time", "another disk"))
    assert look(folder, path, rehash=True).content_hash == after.content_hash


def test_rehash_reads_everything_and_keeps_it(folder: Path, path: Path) -> None:
    look(folder, path)
    assert look(folder, path, rehash=True).n_read == N_CASES
    assert look(folder, path).n_read == 0


def test_a_file_that_changed_within_the_tick_of_the_clock_is_read_again(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 3600.0)
    assert [look(folder, path).n_read for _ in range(2)] == [N_CASES, N_CASES]
    assert not path.exists()


def test_a_file_from_the_future_is_read_again(folder: Path, path: Path) -> None:
    os.utime(label_of(folder, "case_1"), (time.time() + 3600,) * 2)
    assert [look(folder, path).n_read for _ in range(2)] == [N_CASES, 1]


@pytest.mark.parametrize("change", ["labels", "code", "torn", "other form", "not ours"])
def test_facts_that_were_made_otherwise_count_for_nothing(
    folder: Path, path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(folder, path)
    if change == "labels":
        write_json(folder / "dataset.json", tiny_json(labels={"background": 0, "organ": 1, "b": 2, "c": 3}))
    elif change == "code":
        monkeypatch.setattr(fact_cache, "_CODE", fact_cache._CODE[:-1])
    elif change == "torn":
        path.write_bytes(path.read_bytes()[:-50])
    elif change == "other form":
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "cases": {case: {"stats": 1} for case in content["cases"]}}))
    else:
        path.write_text("[1, 2]")
    assert look(folder, path).n_read == N_CASES
    assert look(folder, path).n_read == 0


def test_a_corrected_count_in_dataset_json_costs_no_reading(folder: Path, path: Path) -> None:
    write_json(folder / "dataset.json", tiny_json(n_training=7))
    assert [finding.code for finding in look(folder, path).errors] == ["D016"]
    write_json(folder / "dataset.json", tiny_json(n_training=6))
    found = look(folder, path)
    assert (found.n_read, found.findings) == (0, ())


def test_cases_that_are_gone_are_forgotten(folder: Path, path: Path) -> None:
    look(folder, path)
    image_of(folder, "case_1").unlink()
    label_of(folder, "case_1").unlink()
    assert look(folder, path).n_read == 0
    assert "case_1" not in json.loads(path.read_text())["cases"]


def test_a_file_that_changes_while_it_is_read_is_an_error_and_not_kept(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_volume

    def slow(file: Path, name: str, **how: Any) -> Any:
        volume = read(file, name, **how)
        if file == label_of(folder, "case_1"):
            os.utime(file, (1e9, 1e9))
        return volume

    with monkeypatch.context() as patch:
        patch.setattr(case_check, "read_volume", slow)
        (finding,) = look(folder, path).errors
    assert (finding.code, finding.case) == ("D051", "case_1")
    assert finding.message.startswith("labelsTr/case_1.nii.gz changed while it was read.")
    after = look(folder, path)
    assert (after.n_read, after.findings) == (1, ())


class _StoppedError(Exception):
    pass


def test_an_interrupt_keeps_what_was_read(folder: Path, path: Path) -> None:
    def stop(n_done: int) -> None:
        if n_done == 4:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        inspect_raw_dataset(folder.parent, DATASET, 3, RecordedProgress(on_step=stop), FactCache(path))
    assert look(folder, path).n_read == N_CASES - 4


def test_after_an_error_the_cases_that_wait_are_not_read(
    folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_dataset(folder.parent, n_cases=60)
    read = []

    def noted(files: Any, *more: Any) -> Any:
        read.append(files)
        return case_check.check_case(files, *more)

    monkeypatch.setattr(case_reading, "check_case", noted)

    def stop(*_: int) -> None:
        raise _StoppedError

    with pytest.raises(_StoppedError):
        inspect_raw_dataset(folder.parent, DATASET, 3, RecordedProgress(on_step=stop), FactCache(path))
    assert len(read) < 60


def test_facts_are_written_while_the_reading_goes_on(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_cache, "FLUSH_SECONDS", 0.0)
    kept = []
    count = RecordedProgress(on_step=lambda _: kept.append(len(json.loads(path.read_text())["cases"])))
    inspect_raw_dataset(folder.parent, DATASET, 3, count, FactCache(path))
    assert kept == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_is_taken_away_in_the_middle_is_said_and_nothing_is_made_of_it(folder: Path, path: Path) -> None:
    gone = folder.with_name("elsewhere")
    reached, once = threading.Event(), threading.Lock()

    def take_away(n_done: int) -> None:
        if once.acquire(blocking=False):
            folder.rename(gone)
            reached.set()

    many = write_tiny_dataset(folder.parent, n_cases=60)
    assert many == folder
    with pytest.raises(DatasetError, match=r"was there when the reading of the dataset began, and is gone now"):
        inspect_raw_dataset(folder.parent, DATASET, 3, RecordedProgress(on_step=take_away), FactCache(path))
    assert reached.is_set()
    gone.rename(folder)
    found = look(folder, path)
    assert found.errors == ()
    assert found.content_hash == inspect_raw_dataset(folder.parent, DATASET, 3).content_hash


def test_a_read_only_nnunet_raw_is_enough(folder: Path, path: Path) -> None:
    everything = [folder.parent, *folder.parent.rglob("*")]
    before = {one: one.stat().st_mtime_ns for one in everything}
    for one in everything:
        one.chmod(0o555 if one.is_dir() else 0o444)
    try:
        assert look(folder, path).findings == ()
    finally:
        for one in everything:
            one.chmod(0o755)
    assert {one: one.stat().st_mtime_ns for one in [folder.parent, *folder.parent.rglob("*")]} == before


def test_spaces_accents_and_links_in_the_path_change_nothing(tmp_path: Path, folder: Path) -> None:
    elsewhere = tmp_path / "mit Leerzeichen" / "Ümläut 患者"
    elsewhere.mkdir(parents=True)
    shutil.copytree(folder, elsewhere / DATASET)
    (tmp_path / "link").symlink_to(elsewhere)
    path = elsewhere / "own" / "case_facts.json"
    assert look(tmp_path / "link" / DATASET, path).content_hash == look(folder, tmp_path / "c.json").content_hash
    assert look(tmp_path / "link" / DATASET, path).n_read == 0
