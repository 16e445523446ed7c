"""Two projects on one `nnUNet_preprocessed`, each with results of its own."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits import split_users
from nnunet_assets.nnunet.splits.split_users import folds_of_others, note_fold, notes_of, seen_split, split_held
from nnunet_assets.nnunet.splits.splits_final import Splits, ensure_splits
from nnunet_assets_tests.builders import INPUTS

DATASET = "Dataset952_Cohort"
CASES = [f"case_{n}" for n in range(8)]
SHORT = Experiment(DATASET, "2d", variant="short")
LONG = Experiment(DATASET, "3d_fullres")


class Project:
    """A project with results of its own on a dataset that another one may share."""

    def __init__(self, shared: Path, name: str) -> None:
        self.roots = Roots(shared / "raw", shared / "preprocessed", shared / name / "results")
        self.prepared = PreparedFolder(self.roots, DATASET)
        self.file = self.prepared.folder / "splits_final.json"

    def has(self, cases: list[str]) -> None:
        write_raw(self.prepared, RawRecord("the raw data", tuple(sorted(cases)), voxels_checked=True))

    def split(self, n_folds: int = 4, **how: Any) -> Splits:
        return ensure_splits(self.roots, DATASET, SplitSettings(n_folds), progress=SILENT, **how)

    @property
    def digest(self) -> str:
        return json_sha256(json.loads(self.file.read_bytes()))

    def train(self, experiment: Experiment = LONG, fold: str = "fold_0", *, is_noted: bool = True) -> None:
        """Begins a fold as its process does; an older version notes nothing."""
        if is_noted:
            with split_held(self.prepared, SILENT):
                note_fold(self.prepared, experiment, fold, self.digest)
        folder = experiment.fold_folder(self.roots, fold)
        inputs = replace(INPUTS, splits_hash=self.digest)
        write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": vars(inputs)})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Project, Project]:
    mine, other = Project(tmp_path, "mine"), Project(tmp_path, "other")
    mine.has(CASES)
    mine.split()
    return mine, other


@pytest.mark.parametrize("how", [{}, {"on_new_cases": "renew"}, {"renew": True}])
def test_another_project_does_not_change_the_split_of_trained_folds_whatever_it_asks(
    pair: tuple[Project, Project], how: dict[str, Any]
) -> None:
    mine, other = pair
    mine.train()
    mine.train(SHORT, "fold_3")
    before = mine.file.read_bytes()
    with pytest.raises(DatasetError) as caught:
        other.split(3, **how)
    message = str(caught.value)
    assert (
        "it was made with folds=4 and is declared with folds=3: another project, whose results lie elsewhere" in message
    )
    assert f"In {mine.roots.results}: 2 trained folds belong to it (hours unknown): " in message
    assert "nnUNetTrainer__nnUNetPlans__3d_fullres: fold_0; short / nnUNetTrainer__nnUNetPlans__2d: fold_3." in message
    assert "an nnUNet_preprocessed of its own" in message
    assert mine.file.read_bytes() == before
    assert other.split().what == "kept"  # the same declaration is no change


def test_the_notes_are_believed_where_the_results_are_not_there_now(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    mine.train()
    shutil.move(mine.roots.results, mine.roots.results.with_name("unmounted"))
    for is_mount_point in (False, True):
        if is_mount_point:
            mine.roots.results.mkdir()
        with pytest.raises(DatasetError, match="1 trained fold belongs to it"):
            other.split(3)
    notes_of(other.prepared, mine.roots.results).unlink()  # the word of who gives them up
    assert other.split(3).what == "made anew"


def test_a_project_that_moved_is_known_by_its_results_and_may_change_its_own_split(
    pair: tuple[Project, Project], tmp_path: Path
) -> None:
    mine, _ = pair
    mine.train()
    shutil.move(tmp_path / "mine", tmp_path / "moved")
    moved = Project(tmp_path, "moved")
    assert folds_of_others(moved.prepared) == {}
    with pytest.raises(DatasetError, match="set `on_change: renew`"):
        moved.split(3)
    assert moved.split(3, renew=True).what == "made anew"


def test_a_fold_of_which_nobody_can_read_what_it_was_told_holds_the_split(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    mine.train()
    (LONG.fold_folder(mine.roots, "fold_0") / ".nnunet_assets" / "request.json").write_text('{"inputs": ')
    with pytest.raises(DatasetError, match="1 trained fold belongs to it"):
        other.split(3)


def test_results_that_were_copied_are_not_those_of_the_original(pair: tuple[Project, Project], tmp_path: Path) -> None:
    mine, _ = pair
    mine.train()
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    copy = Project(tmp_path, "copy")
    copy.split()
    shutil.rmtree(LONG.fold_folder(copy.roots, "fold_0"))
    with pytest.raises(DatasetError, match=rf"In {mine.roots.results}: 1 trained fold belongs to it"):
        copy.split(3)
    assert list(folds_of_others(mine.prepared)) == []
    assert mine.split().what == "kept"


def test_results_that_are_reached_by_two_paths_are_one(pair: tuple[Project, Project], tmp_path: Path) -> None:
    mine, _ = pair
    mine.train()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    linked = Project(tmp_path, "link")
    assert linked.split().what == "kept"
    assert folds_of_others(linked.prepared) == {}


def test_projects_that_begin_with_two_datasets_at_once_give_their_results_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, names, at_once = tmp_path / "results", [], threading.Barrier(4)
    known = split_users._known_id

    def seen_by_all_at_first(folder: Path) -> str | None:
        found = known(folder)
        if threading.current_thread() in waiting:
            waiting.discard(threading.current_thread())
            at_once.wait(10)
        return found

    threads = [threading.Thread(target=lambda: names.append(split_users._root_id(results))) for _ in range(4)]
    waiting = set(threads)
    monkeypatch.setattr(split_users, "_known_id", seen_by_all_at_first)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 4
    assert set(names) == {known(results)}


def test_results_that_cannot_be_written_to_keep_nobody_from_a_split(
    pair: tuple[Project, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = pair
    mine.train(is_noted=False)
    (mine.roots.results / split_users.ROOT_FILE).unlink()

    def refused(*_given: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(split_users, "_root_id", refused)
    assert mine.split().what == "kept"


def test_folds_of_a_version_that_noted_nobody_are_found_in_the_results_that_are_known(
    pair: tuple[Project, Project],
) -> None:
    mine, other = pair
    mine.train(is_noted=False)
    with pytest.raises(DatasetError, match="3d_fullres: fold_0"):
        other.split(3)


def test_folds_of_a_version_that_noted_nobody_are_noted_when_their_project_looks_at_the_split_again(
    pair: tuple[Project, Project],
) -> None:
    mine, other = pair
    mine.train(SHORT, is_noted=False)
    mine.split()
    shutil.move(mine.roots.results, mine.roots.results.with_name("unmounted"))
    with pytest.raises(DatasetError, match="short / nnUNetTrainer__nnUNetPlans__2d: fold_0"):
        other.split(3)


def test_folds_that_are_gone_or_never_began_hold_nothing(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    mine.train()
    mine.train(SHORT, "fold_1")
    shutil.rmtree(LONG.fold_folder(mine.roots, "fold_0"))
    assert [fold.fold for fold in folds_of_others(other.prepared)[mine.roots.results]] == ["fold_1"]
    shutil.rmtree(SHORT.fold_folder(mine.roots, "fold_1"))
    assert other.split(3).what == "made anew"


def test_a_fold_that_is_about_to_begin_holds_the_split_though_its_folder_is_not_there_yet(
    pair: tuple[Project, Project],
) -> None:
    mine, other = pair
    mine.train()
    shutil.rmtree(LONG.fold_folder(mine.roots, "fold_0"))
    lock = LONG.summary_folder(mine.roots) / "fold_0.lock"
    lock.parent.mkdir(parents=True)
    with kernel_lock(lock), pytest.raises(DatasetError, match="3d_fullres: fold_0"):
        other.split(3)
    assert other.split(3).what == "made anew"


def test_a_fold_that_was_trained_on_an_older_split_holds_nothing(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    mine.train()
    mine.split(5, renew=True)
    assert other.split(3).what == "made anew"


def test_a_project_knows_that_another_one_changed_the_split_since_it_looked(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    seen = seen_split(mine.prepared)
    assert seen == mine.digest
    other.split(3)
    assert seen_split(mine.prepared) == seen != mine.digest
    mine.split(3)
    assert seen_split(mine.prepared) == mine.digest


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"results": 3}', '{"experiment": "x"}'])
def test_torn_notes_say_nothing_and_stop_nobody(pair: tuple[Project, Project], content: str) -> None:
    mine, other = pair
    folder = mine.prepared.own / "split_users"
    for name in ("torn.json", "abc.json"):
        (folder / name).write_text(content)
    (folder / "abc").mkdir()
    (folder / "abc" / "x-fold_0.json").write_text(content)
    assert other.split(3).what == "made anew"


EXPERIMENTS = st.sampled_from([SHORT, LONG])
FOLDS = st.sampled_from(["fold_0", "fold_1"])
WHO = st.integers(0, 1)


class TwoProjects(RuleBasedStateMachine):
    """Any order of what two projects do to one dataset; the split under a fold of the other one never changes."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        self.projects = [Project(Path(self.folder.name), name) for name in ("a", "b")]
        self.projects[0].has(CASES)
        self.is_mounted = [True, True]
        self.deleted: bytes | None = None
        self.folds: dict[tuple[int, Experiment, str], str] = {}
        """By project, the split that each of its folds was trained on."""

    def _file(self) -> bytes | None:
        file = self.projects[0].file
        return file.read_bytes() if file.exists() else None

    @rule(who=WHO, n_folds=st.integers(2, 4), how=st.sampled_from(["", "extend", "renew", "word"]))
    def split(self, who: int, n_folds: int, how: str) -> None:
        there, project = self._file(), self.projects[who]
        before = there or self.deleted
        held = {digest for (owner, *_), digest in self.folds.items() if owner != who}
        own = {digest for (owner, *_), digest in self.folds.items() if owner == who}
        options = {"renew": True} if how == "word" else {"on_new_cases": how} if how else {}
        try:
            project.split(n_folds, **options)
        except DatasetError:
            assert self._file() == there
            return
        if before is not None and self._file() != before:
            digest = json_sha256(json.loads(before))
            assert digest not in held, "the split changed under the other project's folds"
            assert how or digest not in own, "the split changed under its own folds without a word"

    @rule(who=WHO, experiment=EXPERIMENTS, fold=FOLDS, is_noted=st.booleans())
    def train(self, who: int, experiment: Experiment, fold: str, is_noted: bool) -> None:
        project = self.projects[who]
        if self._file() is None or not self.is_mounted[who]:
            return
        # An older version's results are known from its last look at the split with this one.
        project.train(experiment, fold, is_noted=is_noted)
        if not is_noted and seen_split(project.prepared) is None:
            shutil.rmtree(experiment.fold_folder(project.roots, fold))  # it would be known to nobody
            self.folds.pop((who, experiment, fold), None)
            return
        self.folds[who, experiment, fold] = project.digest

    @rule(who=WHO, experiment=EXPERIMENTS, fold=FOLDS)
    def delete_fold(self, who: int, experiment: Experiment, fold: str) -> None:
        if self.is_mounted[who]:
            shutil.rmtree(experiment.fold_folder(self.projects[who].roots, fold), ignore_errors=True)
            self.folds.pop((who, experiment, fold), None)

    @rule(who=WHO)
    def unmount_or_mount(self, who: int) -> None:
        results = self.projects[who].roots.results
        away = results.with_name("away")
        if not self.is_mounted[who]:
            shutil.rmtree(results, ignore_errors=True)
            away.rename(results)
        elif results.exists() and all(owner != who for owner, *_ in self._unnoted()):
            results.rename(away)
        else:
            return
        self.is_mounted[who] = not self.is_mounted[who]

    def _unnoted(self) -> list[tuple[int, Experiment, str]]:
        """Returns the folds that nobody noted, which cannot be known of where their results are away."""
        found = []
        for who, experiment, fold in self.folds:
            project = self.projects[who]
            folder = notes_of(project.prepared, project.roots.results).with_suffix("")
            notes = [json.loads(path.read_text()) for path in folder.glob("*.json")]
            wanted = {"experiment": experiment.name, "fold": fold, "splits_hash": self.folds[who, experiment, fold]}
            if not any(wanted.items() <= note.items() for note in notes):
                found.append((who, experiment, fold))
        return found

    @rule(n=st.integers(6, 10))
    def change_cases(self, n: int) -> None:
        self.projects[0].has([f"case_{index}" for index in range(n)])

    @precondition(lambda self: self._file() is not None)
    @rule()
    def delete_file(self) -> None:
        self.deleted = self._file()
        self.projects[0].file.unlink()

    @invariant()
    def whole(self) -> None:
        content = self._file() if hasattr(self, "projects") else None
        assert content is None or json.loads(content)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TwoProjects.TestCase.settings = hypothesis_settings(
    max_examples=40, stateful_step_count=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
TestTwoProjects = TwoProjects.TestCase
