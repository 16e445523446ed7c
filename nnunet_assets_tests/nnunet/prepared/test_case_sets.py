import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.prepared import case_sets
from nnunet_assets.nnunet.prepared.case_records import FileRecord, Ingredients
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, is_shown, remove_unwanted, sets_in, show, writing
from nnunet_assets_tests.prepared_builders import write_case

HOLD = """
import sys
from pathlib import Path
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, writing
folder, mode = Path(sys.argv[1]), sys.argv[2]
with CaseSet(folder).reading() if mode == "reading" else writing(folder.parent):
    print("held", flush=True)
    sys.stdin.read()
"""

NAMES = ["a.b2nd", "a.pkl", "a_seg.b2nd", "b.b2nd", "b.pkl", "b_seg.b2nd"]


def wanted(**raw: Any) -> Any:
    return Ingredients({"spacing": "[1.0, 1.0, 1.0]"}, raw or {"a": "raw a", "b": "raw b"})


def whole_set(folder: Any, ingredients: Any = None, n_bytes: int = 9) -> Any:
    """Returns a set whose cases are there."""
    ingredients = ingredients or wanted()
    case_set = CaseSet(folder / ingredients.digest)
    case_set.begin(ingredients, "a test wants it")
    for case, raw in ingredients.raw.items():
        write_case(case_set, case, raw, n_bytes=n_bytes)
    case_set.finish()
    return case_set


@contextmanager
def held_by_another_process(case_set: Any, mode: Any) -> Iterator[Any]:
    arguments = [sys.executable, "-c", HOLD, case_set.folder, mode]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        try:
            yield other
        finally:
            other.kill()


def names(folder: Any) -> Any:
    return sorted(path.name for path in folder.iterdir())


def test_a_set_is_whole_when_every_case_is(tmp_path: Path) -> None:
    case_set = CaseSet(tmp_path / wanted().digest)
    assert not case_set.is_whole
    with pytest.raises(PlanningError, match="cannot be finished: it was not begun"):
        case_set.finish()
    case_set.begin(wanted(), "a test wants it")
    write_case(case_set, "a", "raw a")
    with pytest.raises(PlanningError, match="cannot be finished: it lacks b"):
        case_set.finish()
    assert not case_set.is_whole
    assert (case_set.n_parts, list(case_set.records())) == (1, ["a"])
    write_case(case_set, "b", "raw b")
    case_set.finish()
    assert case_set.is_whole
    assert names(case_set.cases) == NAMES
    assert sorted(case_set.records()) == ["a", "b"]
    assert case_set.ingredients() == wanted()
    assert (case_set.why, case_set.n_parts) == ("a test wants it", 0)


@pytest.mark.parametrize("n_moved", [0, 1, 2, 3])
def test_a_case_that_a_kill_left_half_made_is_not_there(tmp_path: Path, n_moved: int) -> None:
    case_set = CaseSet(tmp_path / wanted().digest)
    case_set.begin(wanted(), "a test wants it")
    work = case_set.work_folder("a")
    for index, name in enumerate(NAMES[:3]):
        ((case_set.cases if index < n_moved else work) / name).write_bytes(b"half of")
    assert case_set.records() == {}
    case_set.begin(wanted(), "again")
    assert names(case_set.parts) == []
    write_case(case_set, "a", "raw a")
    assert case_set.damaged() == []
    assert case_set.why == "a test wants it"  # as long as it is not whole


def spoil(path: Any, how: Any) -> None:
    content = bytearray(path.read_bytes())
    if how == "deleted":
        path.unlink()
        return
    if how == "cut":
        content = content[:-1]
    else:
        content[len(content) // 2] ^= 1
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(content)
    if how == "flipped by the disk":
        os.utime(path, ns=times)


@pytest.mark.parametrize("how", ["deleted", "cut", "flipped"])
@pytest.mark.parametrize("name", NAMES[:3])
def test_a_damaged_case_is_found_at_once(tmp_path: Path, name: Any, how: str) -> None:
    case_set = whole_set(tmp_path)
    assert case_set.damaged() == []
    spoil(case_set.cases / name, how)
    assert case_set.damaged() == ["a"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="only Linux has a file that gives EIO to every user")
def test_a_file_that_the_disk_gives_no_more_is_damaged(tmp_path: Path) -> None:
    for path in (Path("/proc/self/mem"), tmp_path / "loop"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(OSError, match=r"Errno (5|40)"):
            path.read_bytes()
        assert not FileRecord("the digest", 0, 0).is_of(path, every_byte=True)


def test_what_a_failing_disk_changes_behind_everybodys_back_is_found_within_a_day(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    spoil(case_set.cases / "b.pkl", "flipped by the disk")
    assert case_set.damaged() == []
    yesterday = time.time() - case_sets.CHECKED_FOR_SECONDS - 1
    os.utime(case_set.folder / "checked", (yesterday, yesterday))
    assert case_set.damaged() == ["b"]
    assert case_set.damaged() == ["b"]  # and from then on


def test_every_byte_is_read_once_a_day(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    yesterday = time.time() - case_sets.CHECKED_FOR_SECONDS - 1
    os.utime(case_set.folder / "checked", (yesterday, yesterday))
    assert case_set.damaged() == []
    assert (case_set.folder / "checked").stat().st_mtime > yesterday + 1


def test_a_set_that_was_copied_to_another_disk_is_whole_there(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path / "here")
    shutil.copytree(case_set.folder, tmp_path / "there", copy_function=shutil.copyfile)
    assert CaseSet(tmp_path / "there").damaged() == []


def test_a_reference_is_checked_as_the_cases_are(tmp_path: Path) -> None:
    label = tmp_path / "label"
    label.write_bytes(b"label of a")
    case_set = CaseSet(tmp_path / "set")
    case_set.begin(wanted(a="raw a"), "a test wants it")
    write_case(case_set, "a", "raw a", {"a.nii.gz": FileRecord.of(label)})
    case_set.finish()
    references = tmp_path / "references"
    assert case_set.changed_references(references) == ["a"]
    references.mkdir()
    shutil.copyfile(label, references / "a.nii.gz")
    assert case_set.changed_references(references) == []
    os.utime(references / "a.nii.gz", ns=(0, label.stat().st_mtime_ns))
    spoil(references / "a.nii.gz", "flipped by the disk")
    assert case_set.changed_references(references) == []
    os.utime(case_set.folder / "checked", (0, 0))
    assert case_set.changed_references(references) == ["a"]


def test_of_a_case_that_an_older_version_made_no_reference_is_known(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    manifest = json.loads((case_set.folder / "manifest.json").read_text())
    for record in manifest["cases"].values():
        del record["references"]
    (case_set.folder / "manifest.json").write_text(json.dumps(manifest))
    assert case_set.damaged() == []
    assert case_set.changed_references(tmp_path) == ["a", "b"]


def test_a_damaged_case_is_repaired_in_its_place(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    other = case_set.records()["b"]
    spoil(case_set.cases / "a.pkl", "cut")
    case_set.begin(wanted(), "a case is damaged")
    write_case(case_set, "a", "raw a")
    assert case_set.is_whole  # all the time: folds read it
    case_set.finish()
    assert case_set.damaged() == []
    assert case_set.records()["b"] == other
    assert case_set.why == "a case is damaged"


def test_a_case_of_another_set_is_taken_without_space_or_change(tmp_path: Path) -> None:
    first = whole_set(tmp_path)
    second = CaseSet(tmp_path / "second")
    second.begin(wanted(a="raw a", c="raw c"), "a case is new")
    assert second.reuse("a", first.records()["a"], first)
    assert (second.cases / "a.pkl").samefile(first.cases / "a.pkl")
    assert second.records()["a"] == first.records()["a"]
    spoil(first.cases / "b.b2nd", "cut")
    assert not second.reuse("b", first.records()["b"], first)
    assert list(second.records()) == ["a"]
    first.remove_unless_read()
    assert not first.folder.exists()
    assert second.damaged() == []


@pytest.mark.parametrize("has_links", [True, False])
def test_plain_nnunet_sees_the_cases_in_its_own_folder_and_cannot_lose_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    case_set, shown = whole_set(tmp_path / "sets"), tmp_path / "nnUNetPlans_2d"
    shown.mkdir()
    (shown / "old.b2nd").write_bytes(b"of an older version")
    assert not is_shown(case_set, shown)
    show(case_set, shown)
    assert is_shown(case_set, shown)
    assert names(shown) == NAMES
    (shown / "a.npy").write_bytes(b"unpacked by nnU-Net")
    assert is_shown(case_set, shown)
    (shown / "stranger.pkl").write_bytes(b"of a case that is gone")
    assert not is_shown(case_set, shown)
    shutil.rmtree(shown)
    assert not is_shown(case_set, shown)
    assert case_set.damaged() == []
    show(case_set, shown)
    (shown / "a.pkl").unlink()
    (shown / "a.pkl").write_bytes(b"preprocessed by hand")
    assert not is_shown(case_set, shown)
    assert case_set.damaged() == []


def test_what_other_systems_leave_among_the_cases_is_not_shown(tmp_path: Path) -> None:
    case_set, shown = whole_set(tmp_path / "sets"), tmp_path / "shown"
    (case_set.cases / ".DS_Store").touch()
    show(case_set, shown)
    assert names(shown) == NAMES
    assert is_shown(case_set, shown)
    (shown / ".DS_Store").touch()
    assert is_shown(case_set, shown)


def test_a_kill_between_the_two_renames_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    case_set, shown = whole_set(tmp_path / "sets"), tmp_path / "nnUNetPlans_2d"
    show(case_set, shown)
    shown.rename(case_set.folder.with_name(".shown_old"))
    shutil.copytree(case_set.cases, case_set.folder.with_name(".shown_new"))
    assert not is_shown(case_set, shown)
    assert sets_in(case_set.folder.parent)[0].folder == case_set.folder
    show(case_set, shown)
    assert is_shown(case_set, shown)
    assert not case_set.folder.with_name(".shown_old").exists()


def test_what_no_plans_want_is_removed_unless_a_fold_reads_it(tmp_path: Path) -> None:
    kept, read, left = (whole_set(tmp_path, wanted(a=raw)) for raw in ("1", "2", "3"))
    (tmp_path / ".removed_0123").mkdir()  # by a process that was killed meanwhile
    with held_by_another_process(read, "reading"):
        remove_unwanted(tmp_path, {kept.folder.name})
        assert {found.folder for found in sets_in(tmp_path)} == {kept.folder, read.folder}
        assert read.damaged() == []
    remove_unwanted(tmp_path, {kept.folder.name})
    assert names(tmp_path) == [kept.folder.name]
    with pytest.raises(PlanningError, match=r"were removed meanwhile, or are not whole\. Materialize preproc"):
        left.reading().__enter__()


def test_a_set_that_is_not_whole_is_read_by_nobody(tmp_path: Path) -> None:
    case_set = CaseSet(tmp_path / wanted().digest)
    case_set.begin(wanted(), "a test wants it")
    with pytest.raises(PlanningError, match="are not whole"):
        case_set.reading().__enter__()


def test_several_folds_read_the_same_cases_while_others_are_made(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    with (
        held_by_another_process(case_set, "reading"),
        held_by_another_process(case_set, "writing"),
        case_set.reading(),
    ):
        assert case_set.damaged() == []


def test_who_makes_cases_waits_for_another_one_and_not_for_a_dead_one(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    with held_by_another_process(case_set, "writing") as other:
        arguments = [sys.executable, "-c", HOLD, case_set.folder, "writing"]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
            os.set_blocking(second.stdout.fileno(), False)
            time.sleep(0.7)
            assert second.stdout.read() is None
            other.kill()
            os.set_blocking(second.stdout.fileno(), True)
            assert second.stdout.readline() == b"held\n"
            second.kill()
    with writing(case_set.folder.parent):
        pass


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    case_set = whole_set(tmp_path)
    (case_set.folder / "manifest.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"manifest\.json is not valid JSON .* delete it to have it made again"):
        case_set.records()


@pytest.mark.parametrize(
    "cases", [None, [1], "a", {"a": "x"}, {"a": {"files": {}}}, {"a": {"raw": "r", "files": [1]}}], ids=str
)
def test_a_manifest_of_another_form_is_named(tmp_path: Path, cases: Any) -> None:
    case_set = whole_set(tmp_path)
    (case_set.folder / "manifest.json").write_text(json.dumps({"cases": cases}))
    with pytest.raises(DamagedFileError) as caught:
        case_set.records()
    assert str(caught.value).startswith(f"{case_set.folder / 'manifest.json'}, or what lies in ")
    assert str(caught.value).endswith(f"Remove the folder {case_set.folder}: its cases are made again.")
