"""The folds that a summary is of, found again by their COMMIT: where they were trained, or among the superseded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.files.json_file import UNREADABLE, load_json
from nnunet_assets.core.files.layout import OWN_FOLDER, SUMMARY_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import MANIFEST_FILE, FinishedFold, commit_sha256
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.fold.members import changed_members
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.results.results import result_of

State = Literal["there", "superseded", "replaced", "members", "gone", "damaged"]


@dataclass(frozen=True)
class RecordedFold:
    """A fold that a summary is of, and what became of it.

    Attributes:
        fold: `fold_0` ...
        name: The same with its experiment, for people.
        state: `there`; `superseded`: trained again since, and kept; `replaced`: trained or validated again, and not
            kept; `members`: of an ensemble, a member was; `gone`: nothing is there; `damaged`: its files are not those
            of its COMMIT.
        folder: Where it lies; of one that is not there any more, where it lay.
        finished: None: it is neither there nor kept.
        result: Its scores now; None: likewise, or they cannot be read.
        problem: Why they cannot be read; empty: they can.
    """

    fold: str
    name: str
    state: State
    folder: Path
    finished: FinishedFold | None = None
    result: ScoredFold | None = None
    problem: str = ""

    def finding(self) -> Finding:
        """Returns what is said of it, its scores left aside."""
        where = self.folder
        sentences = {
            "there": f"{self.name} is the one that was summarized, by its COMMIT.",
            "superseded": f"{self.name} was trained again since. The one that was summarized is kept in {where}.",
            "replaced": f"{self.name} was trained or validated again since, and the one that was summarized is not "
            "kept: its scores cannot be read any more.",
            "members": f"A member of {self.name} was trained or validated again since it was ensembled.",
            "gone": f"{self.name} is not in {where} any more, so that its scores cannot be read again.",
            "damaged": f"{self.name} was changed since it was finished: the files in {where} are not those of its "
            "COMMIT.",
        }
        if self.problem:
            return Finding("scores", self.name, "changed", self.problem)
        verdicts: Mapping[State, Any] = {"there": "holds", "gone": "unknown"}
        return Finding("scores", self.name, verdicts.get(self.state, "changed"), sentences[self.state])


def recorded_fold(roots: Roots, experiment: Experiment, fold: str, commit: str | None) -> RecordedFold:
    """Returns a fold as a summary names it.

    Args:
        roots: nnU-Net's folders.
        experiment: Whose.
        fold: `fold_0` ...
        commit: What names it; None: an older version did not say, and the one that is there is taken.
    """
    folder, name = experiment.fold_folder(roots, fold), f"{fold} of {experiment.name_in_dataset}"
    finished = FinishedFold.read(folder)
    if finished and commit in (None, finished.sha256):
        return _read(RecordedFold(fold, name, "there", folder, finished))
    for kept in _superseded(folder):
        if (earlier := FinishedFold.read(kept)) and earlier.sha256 == commit:
            # It lies under a name of its own, and its scores were read: they are taken as those of the fold.
            return _read(RecordedFold(fold, name, "superseded", kept, replace(earlier, folder=folder)))
    if not folder.is_dir():
        return RecordedFold(fold, name, "gone", folder)
    return RecordedFold(fold, name, _why_unfinished(folder, commit), folder)


def _why_unfinished(folder: Path, commit: str | None) -> State:
    try:
        if commit_sha256(folder) != commit:
            return "replaced"
        details = load_json(folder / OWN_FOLDER / MANIFEST_FILE)["details"]
        return "members" if changed_members(folder, details, commit_sha256) else "damaged"
    except UNREADABLE:
        return "replaced"


def _superseded(folder: Path) -> Iterator[Path]:
    yield from sorted((folder.parent / SUMMARY_FOLDER / "superseded").glob(f"{folder.name}_*"), reverse=True)


def _read(found: RecordedFold) -> RecordedFold:
    assert found.finished is not None  # noqa: S101 (both callers have it)
    try:
        return replace(found, result=result_of(found.finished))
    except SummaryError as error:
        return replace(found, problem=str(error))
