"""The choice among a dataset's declared experiments, from what lies on the disk."""

import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError, DatasetError
from nnunet_assets.nnunet.evaluation import predicted_cases, step_scoring
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import best as module
from nnunet_assets.workflows.model.best import find_best_configuration, scores_after_steps, steps_folder
from nnunet_assets.workflows.model.found_ensembles import EnsemblesThere, FoundEnsembles
from nnunet_assets_tests.comparison_builders import DATASET, DECLARED, LONG, PLAIN, roots_of, summarized
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.recorded_progress import RecordedProgress

NAMES = [config.identity.name_in_dataset for config in (PLAIN, LONG)]


@pytest.fixture
def declared(tmp_path: Path) -> Project:
    return read_project(write_project(tmp_path, {"defs.yaml": DECLARED}))


def settings_of(project: Path) -> Settings:
    return Settings.from_environment(project, {})


def write_checkpoint(project: Path, config: ExperimentConfig, fold: str, n_weights: int, log: str = "") -> None:
    folder = config.identity.fold_folder(roots_of(project), fold)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "checkpoint_final.pth", "w") as archive:
        archive.writestr("archive/data.pkl", checkpoint_pickle(n_weights, log))
        archive.writestr("archive/data/0", bytes(4 * n_weights))


def checkpoint_pickle(n_weights: int, log: str) -> bytes:
    """Returns what torch writes of so many weights, and a log beside them."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(n_weights) + b"tQ"
    shape, stride = number(n_weights) + b"\x85", number(1) + b"\x85"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + shape + stride + b"\x89NtR"
    weights = text("network_weights") + b"}" + text("w") + tensor + b"s"
    return b"\x80\x02}(" + weights + text("logging") + text(log) + b"u."


@pytest.mark.parametrize(("sizes", "chosen"), [((200, 100), 1), ((100, 200), 0)])
def test_the_one_with_fewer_weights_is_the_simpler_candidate(
    tmp_path: Path, declared: Project, sizes: tuple[int, int], chosen: int
) -> None:
    # Nor does it count that the smaller one was trained for longer, and has the larger file.
    for config, size, other in zip((PLAIN, LONG), sizes, reversed(sizes), strict=True):
        summarized(tmp_path, config, 0.0)
        write_checkpoint(tmp_path, config, "fold_1", size, "epoch" * 100 * other)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert best.chosen == NAMES[chosen]
    shown = {one.name: one.weights_bytes for one in best.candidates}
    assert shown == {name: 4 * size for name, size in zip(NAMES, sizes, strict=True)}


def test_two_networks_alike_are_equally_simple_however_long_they_were_trained(
    tmp_path: Path, declared: Project
) -> None:
    for config, log in ((PLAIN, ""), (LONG, "epoch" * 1000)):
        summarized(tmp_path, config, 0.0)
        write_checkpoint(tmp_path, config, "fold_0", 100, log)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert [one.weights_bytes for one in best.candidates] == [400, 400]


def test_a_checkpoint_that_cannot_be_read_has_no_size(tmp_path: Path, declared: Project) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    write_checkpoint(tmp_path, PLAIN, "fold_0", 100)
    (PLAIN.identity.fold_folder(roots_of(tmp_path), "fold_0") / "checkpoint_final.pth").write_bytes(b"PK\x03\x04torn")

    (only,) = find_best_configuration(settings_of(tmp_path), declared, DATASET).candidates

    assert only.weights_bytes is None


def test_a_candidate_whose_folds_were_taken_away_has_no_size_and_is_not_the_simpler_one(
    tmp_path: Path, declared: Project
) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    write_checkpoint(tmp_path, LONG, "fold_0", 10**5)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert (best.chosen, best.candidates[0].weights_bytes) == (NAMES[1], None)


def test_who_has_no_complete_summary_is_left_out(tmp_path: Path, declared: Project) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    summarized(tmp_path, LONG, 0.3, n_folds=1)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert (best.chosen, list(best.left_out)) == (NAMES[0], [NAMES[1]])
    assert "its summary is incomplete" in best.left_out[NAMES[1]]


def test_a_dataset_that_is_not_declared_is_an_error(tmp_path: Path, declared: Project) -> None:
    with pytest.raises(ConfigError, match="Dataset002_Other"):
        find_best_configuration(settings_of(tmp_path), declared, "Dataset002_Other")


def test_it_predicts_nothing_and_says_which_ensembles_are_missing(tmp_path: Path, declared: Project) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    settings = settings_of(tmp_path)

    missing, *_ = find_best_configuration(settings, declared, DATASET).notes
    asked_for_none = find_best_configuration(settings, declared, DATASET, max_members=1).notes

    assert missing.startswith("Not made, and no candidates: ensembles/2d-2d-")
    assert not any("ensembles" in note for note in asked_for_none)


LABELS = tiny_json(labels={"background": 0, "organ": 1})


class Masks:
    """Stands for nnU-Net's reading of masks: all are scored but some, or none where it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *unread: str, error: Exception | None = None) -> None:
        self.unread, self.error, self.kept = unread, error, list[Path]()
        monkeypatch.setattr(predicted_cases, "cases_of_folds", self.cases)
        monkeypatch.setattr(step_scoring, "score_steps", self.score)

    def cases(self, model: Path, *_: Any, **__: Any) -> Any:
        if self.error:
            raise self.error
        return SimpleNamespace(description=parse_dataset_json(write_json(model / "dataset.json", LABELS)))

    def score(self, found: Any, plan: Any, kept: Path, *_: Any) -> Any:
        self.kept.append(kept)
        scored = {name: {"read": True} for name in self.all if name not in self.unread}
        return SimpleNamespace(cases=scored, problems=[f"{name} is torn." for name in self.unread])

    all: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("n_cases", "n_unread", "is_looked_at"), [(8, 0, True), (8, 1, False), (20, 1, True), (20, 2, False), (21, 1, True)]
)
def test_up_to_a_twentieth_of_the_masks_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_cases: int, n_unread: int, is_looked_at: bool
) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    summary = read_current_summary(roots_of(tmp_path), PLAIN.identity)
    (fold, *_) = summary.folds
    cases = [replace(fold.cases[0], case_id=f"c{k}") for k in range(n_cases)]
    summary = replace(summary, folds=(replace(fold, cases=tuple(cases)),))
    masks = Masks(monkeypatch, *(f"c{k}" for k in range(n_unread)))
    masks.all = tuple(one.case_id for one in cases)
    progress, notes = RecordedProgress(), list[str]()
    found = scores_after_steps(settings_of(tmp_path), summary, progress=progress, notes=notes)
    assert (found is not None) == is_looked_at
    assert progress.warned == [f"c{k} is torn." for k in range(n_unread)]
    assert masks.kept == [steps_folder(roots_of(tmp_path), PLAIN.identity)]
    which = f"{n_unread} of the {n_cases} validation masks of {NAMES[0]} cannot be scored"
    assert notes == (
        [f"{which}: there a postprocessing step counts as changing nothing. Its evaluation says which."]
        if n_unread and is_looked_at
        else [f"{which}, and its postprocessing is not looked at. Its evaluation says which, and why."] * (n_unread > 0)
    )
    if found and n_unread:
        # Whatever steps are taken, it scores what it scored.
        dice = cases[0].scores["organ"].dice
        assert {value for key, value in found.cases["c0"]["organ"].items() if set(key) <= {"0", "1"}} == {dice}
        assert found.cases["c1"] == {"read": True}


def test_masks_that_cannot_be_looked_at_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    summary, notes = read_current_summary(roots_of(tmp_path), PLAIN.identity), list[str]()
    Masks(monkeypatch, error=DatasetError("No labels."))
    assert scores_after_steps(settings_of(tmp_path), summary, progress=SILENT, notes=notes) is None
    assert notes == [f"Postprocessing of {NAMES[0]} is not looked at: No labels."]
    elsewhere = Masks(monkeypatch)
    elsewhere.all = tuple(case.case_id for fold in summary.folds for case in fold.cases)
    scores_after_steps(settings_of(tmp_path), summary, progress=SILENT, notes=notes, kept_in=tmp_path / "kept")
    assert elsewhere.kept == [tmp_path / "kept"]


def test_ensembles_that_lie_there_are_looked_at_where_they_are_wanted(
    tmp_path: Path, declared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    asked: list[str] = []
    both = Experiment.ensemble(DATASET, "both")

    def there(*_: Any) -> EnsemblesThere:
        asked.append("there")
        return EnsemblesThere((), {}, {both: (PLAIN.identity, LONG.identity)}, {"ensembles/both": "It is old."})

    monkeypatch.setattr(module, "ensembles_there", there)
    settings = settings_of(tmp_path)
    alone = find_best_configuration(settings, declared, DATASET, max_members=1, with_postprocessing=False)
    assert not any("ensemble" in note for note in alone.notes)
    assert asked == []
    notes = find_best_configuration(settings, declared, DATASET, max_members=2, with_postprocessing=False).notes
    assert notes[0].startswith("Not made, and no candidates: ensembles/both. ")
    assert notes[1] == "ensembles/both is no candidate: It is old."
    looked = FoundEnsembles(notes=("Looked for.",))
    notes = find_best_configuration(settings, declared, DATASET, found=looked, with_postprocessing=False).notes
    assert notes[:2] == ("Looked for.", "ensembles/both is no candidate: It is old.")

    def too_many(*_: Any) -> None:
        raise ConfigError("Too many.")

    monkeypatch.setattr(module, "wanted_ensembles", too_many)
    assert find_best_configuration(settings, declared, DATASET, with_postprocessing=False).notes[0] == "Too many."


@pytest.mark.parametrize("with_postprocessing", [True, False])
def test_steps_are_scored_where_they_are_to_be_tried(
    tmp_path: Path, declared: Project, monkeypatch: pytest.MonkeyPatch, with_postprocessing: bool
) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    scored: list[str] = []
    monkeypatch.setattr(module, "scores_after_steps", lambda _settings, one, **_: scored.append(one.experiment.title))
    options: dict[str, Any] = {} if with_postprocessing else {"with_postprocessing": False}
    find_best_configuration(settings_of(tmp_path), declared, DATASET, **options)
    assert scored == [one.identity.title for one in (PLAIN, LONG) if with_postprocessing]
