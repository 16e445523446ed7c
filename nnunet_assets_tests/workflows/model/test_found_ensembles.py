"""The ensembles that nobody declares, with a child that stands for the processes that predict and score."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold, read_committed
from nnunet_assets.core.progress import SILENT
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.sections.found_ensembles_config import FoundEnsemblesConfig
from nnunet_assets.errors import ConfigError, PredictionError
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.nnunet.probabilities import probabilities
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import found_ensembles
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.model.ensemble import ensemble_name, make_ensemble
from nnunet_assets.workflows.model.found_ensembles import (
    NOTHING,
    EnsemblesThere,
    FoundEnsembles,
    ensembles_there,
    make_found_ensembles,
    shared_by_declaration,
)
from nnunet_assets_tests.ensemble_builders import EnsemblingChild, write_members
from nnunet_assets_tests.prepared_builders import DATASET
from nnunet_assets_tests.project_builders import documents, write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress

NAMES = ("deep", "long", "wide")
EXPERIMENTS = [Experiment(DATASET, "3d_fullres", variant=name) for name in NAMES]
KIND = "type: nnunet_assets.components."
DECLARED = documents(
    f"{KIND}NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n",
    *(
        f"{KIND}CrossValidationExperiment\n"
        f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres, variant: {{name: {name}, num_epochs: 5}}}}\n"
        for name in NAMES
    ),
)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> EnsemblingChild:
    child = EnsemblingChild()
    monkeypatch.setattr(probabilities, "run_child", child)
    monkeypatch.setattr(ensembling, "run_child", child)
    return child


@pytest.fixture
def settings(tmp_path: Path, child: EnsemblingChild) -> Settings:
    roots = write_members(tmp_path, EXPERIMENTS)
    return Settings.from_environment(write_project(tmp_path / "project", {"defs.yaml": DECLARED}), roots.environment())


@pytest.fixture
def project(settings: Settings) -> Project:
    return read_project(settings.project)


def declaring(project: Project, **wanted: Any) -> Project:
    (dataset,) = project.datasets
    return replace(project, datasets=(dataset.model_copy(update={"found_ensembles": FoundEnsemblesConfig(**wanted)}),))


def with_ensemble(project: Project, *members: Experiment, name: str = "declared") -> Project:
    return replace(project, members={Experiment.ensemble(DATASET, name): members})


def found(settings: Settings, project: Project, **options: Any) -> FoundEnsembles:
    return make_found_ensembles(settings, project, DATASET, makes_summaries=True, **options)


def members_in(members: Mapping[Any, tuple[Experiment, ...]]) -> set[frozenset[str | None]]:
    return {frozenset(one.variant for one in of) for of in members.values()}


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(name.split("+")) for name in names}


ALL_PAIRS = pairs("deep+long", "deep+wide", "long+wide")


def test_every_pair_is_made_once_each_member_predicting_each_case_once(
    settings: Settings, project: Project, child: EnsemblingChild
) -> None:
    first = found(settings, project)

    assert members_in(first.members) == ALL_PAIRS
    assert (len(first.made), first.n_predicted, len(child.predicted), len({*child.predicted})) == (3, 12, 12, 12)
    assert first.headline() == "3 ensembles, 3 made now from 12 predicted cases"
    assert not [*settings.roots.results.rglob("*.npz")]

    second = found(settings, project)

    assert (second.made, second.n_predicted, len(child.predicted)) == ({}, 0, 12)
    assert second.headline() == "3 ensembles, all there already"
    assert (second.digests, members_in(second.members)) == (first.digests, ALL_PAIRS)


def test_a_choice_takes_those_that_are_there_and_predicts_nothing(
    settings: Settings, project: Project, child: EnsemblingChild
) -> None:
    found(settings, project)
    child.predicted.clear()

    best = find_best_configuration(settings, project, DATASET, with_postprocessing=False)
    alone = find_best_configuration(settings, project, DATASET, with_postprocessing=False, max_members=1)

    assert {frozenset(one.members) for one in best.candidates if len(one.members) > 1} == {
        frozenset(one.name_in_dataset for one in EXPERIMENTS if one.variant in names) for names in ALL_PAIRS
    }
    # The child's masks are perfect.
    assert best.candidates[0].model.startswith("ensembles/")
    assert {len(one.members) for one in alone.candidates} == {1}
    assert child.predicted == []
    assert not any("Not made" in note for note in best.notes)


def test_one_of_which_a_member_changed_is_no_candidate_until_it_is_made_again(
    settings: Settings, project: Project, child: EnsemblingChild
) -> None:
    found(settings, project)
    child.predicted.clear()
    folder = EXPERIMENTS[0].fold_folder(settings.roots, "fold_1")
    commit_fold(folder, replace(read_committed(folder), seconds={"training": 99.0}))

    best = find_best_configuration(settings, project, DATASET, with_postprocessing=False, makes_summaries=True)

    assert {one.members for one in best.candidates if len(one.members) > 1} == {
        tuple(one.name_in_dataset for one in EXPERIMENTS[1:])
    }
    assert sum("is no candidate: The summary of" in note for note in best.notes) == 2
    assert "Not made, and no candidates: ensembles/" in best.notes[0]

    again = found(settings, project)

    # Both members of either pair predict the two cases of the one fold.
    assert (len(again.made), sorted({fold for _, fold, _ in child.predicted})) == (2, [1])
    assert again.n_predicted == 6


def test_ensembles_that_somebody_made_stay_candidates_of_whatever_size(settings: Settings, project: Project) -> None:
    make_ensemble(settings, DATASET, EXPERIMENTS, "all_of_them", progress=SILENT)
    found(settings, project)

    best = find_best_configuration(settings, project, DATASET, with_postprocessing=False)

    assert max(len(one.members) for one in best.candidates) == 3
    assert len(best.candidates) == 7


def test_one_of_the_same_members_under_another_name_is_not_made_again(settings: Settings, project: Project) -> None:
    make_ensemble(settings, DATASET, EXPERIMENTS[:2], "mine", progress=SILENT)

    result = found(settings, project)

    assert "mine" in result.members
    assert "mine" not in result.made
    assert len(result.made) == 2
    assert len(ensembles_there(settings.roots, project, DATASET).members) == 3


def test_one_that_is_outdated_is_made_again_under_its_name(settings: Settings, project: Project) -> None:
    make_ensemble(settings, DATASET, EXPERIMENTS[:2], "mine", progress=SILENT)
    folder = EXPERIMENTS[0].fold_folder(settings.roots, "fold_1")
    commit_fold(folder, replace(read_committed(folder), seconds={"training": 99.0}))
    assert [one.configuration for one in ensembles_there(settings.roots, project, DATASET).outdated] == ["mine"]

    result = found(settings, project, max_members=2)

    assert "mine" in result.made
    assert (len(result.members), len(result.digests)) == (3, 3)
    assert ensembles_there(settings.roots, project, DATASET).outdated == {}


def test_one_that_was_made_of_others_keeps_its_name(settings: Settings, project: Project) -> None:
    name = ensemble_name(EXPERIMENTS[:2])
    make_ensemble(settings, DATASET, EXPERIMENTS, name, progress=SILENT)

    result = found(settings, project)

    assert len(result.made) == 3
    assert name not in result.made
    assert all(len(of) == 2 for of in result.members.values())


@pytest.mark.parametrize(("wanted", "n"), [({"max_members": 5}, 4), ({"max_members": 1}, 0)])
def test_as_many_members_as_the_dataset_declares(
    settings: Settings, project: Project, wanted: dict[str, int], n: int
) -> None:
    result = found(settings, declaring(project, **wanted))
    assert len(result.made) == n
    assert bool(result.nothing_because) == (n == 0)


def test_those_that_are_declared_are_not_found(settings: Settings, project: Project) -> None:
    assert members_in(found(settings, with_ensemble(project, *EXPERIMENTS[:2])).members) == pairs(
        "deep+wide", "long+wide"
    )


def test_too_many_are_refused_where_somebody_asked_and_else_said(
    settings: Settings, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_ensembles, "MAX_ENSEMBLES", 2)
    with pytest.raises(ConfigError, match="3 experiments of Dataset951_Records have 3 ensembles of up to 2"):
        found(settings, project, max_members=2)
    with pytest.raises(ConfigError, match="at most 2 are made"):
        found(settings, declaring(project, max_members=2))
    result = found(settings, project)
    assert result.made == {}
    assert "at most 2 are made" in result.notes[0]


def test_an_experiment_that_cannot_predict_again_leaves_the_others_their_ensembles(
    settings: Settings, project: Project
) -> None:
    folder = EXPERIMENTS[2].fold_folder(settings.roots, "fold_0")
    find_best_configuration(settings, project, DATASET, with_postprocessing=False, makes_summaries=True)
    (folder / "checkpoint_final.pth").unlink()
    progress = RecordedProgress()

    result = make_found_ensembles(settings, project, DATASET, progress)
    best = find_best_configuration(settings, project, DATASET, with_postprocessing=False, found=result)

    assert members_in(result.members) == pairs("deep+long")
    assert [*result.unfit] == [EXPERIMENTS[2].name_in_dataset]
    assert "has no checkpoint_final.pth to predict with" in result.unfit[EXPERIMENTS[2].name_in_dataset]
    assert any("to predict with" in sentence for sentence in progress.warned)
    assert f"No ensemble with {EXPERIMENTS[2].name_in_dataset} is made" in " ".join(best.notes)


def test_a_disk_without_room_is_refused_before_anything_is_predicted(
    settings: Settings, project: Project, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(settings.roots.results)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(PredictionError, match=r"fold_0 take at least .* With `max_members` 1 no ensemble"):
        found(settings, project)
    assert child.predicted == []
    assert ensembles_there(settings.roots, project, DATASET).members == {}


def test_what_nnunet_or_an_experiment_that_is_gone_left_there_is_no_candidate(roots_and_project: Any) -> None:
    roots, project = roots_and_project
    (roots.results / DATASET / "ensembles" / "ensemble___a___b___0_1").mkdir(parents=True)
    assert ensembles_there(roots, project, DATASET).members == {}
    assert ensembles_there(roots, project, DATASET).outdated == {}


@pytest.fixture
def roots_and_project(settings: Settings, project: Project) -> tuple[Roots, Project]:
    make_ensemble(settings, DATASET, EXPERIMENTS[:2], None, progress=SILENT)
    gone = replace(project, experiments=project.experiments[1:])
    return settings.roots, gone


@pytest.mark.parametrize(
    ("n", "made", "unfit", "line"),
    [
        (0, {}, {}, "0 ensembles"),
        (1, {}, {}, "1 ensemble, all there already"),
        (1, {"a": 1}, {}, "1 ensemble, 1 made now from 5 predicted cases"),
        (2, {"a": 1, "b": 2}, {"x": "It is."}, "2 ensembles, 2 made now from 5 predicted cases; not made with or of x"),
        (0, {}, {"x": "It is.", "y": "It is."}, "0 ensembles; not made with or of x, y"),
    ],
)
def test_the_headline_counts_what_is_there(n: int, made: Any, unfit: dict[str, str], line: str) -> None:
    members = {str(k): tuple(EXPERIMENTS) for k in range(n)}
    assert FoundEnsembles(members, made, n_predicted=5, unfit=unfit).headline() == line
    assert FoundEnsembles(members, nothing_because="None.").headline() == "None."


def test_what_is_missing_is_what_neither_lies_there_nor_is_outdated_under_another_name() -> None:
    one, two, three = EXPERIMENTS
    there = EnsemblesThere(
        (), {Experiment.ensemble(DATASET, "x"): (two, one)}, {Experiment.ensemble(DATASET, "y"): (three, one)}, {}
    )
    wanted = {"a": (one, two), "b": (one, three), "c": (two, three)}
    assert there.missing(wanted) == {"y": (one, three), "c": (two, three)}


def test_experiments_that_share_no_fold_have_no_ensemble(settings: Settings, project: Project) -> None:
    one, two, three = project.experiments
    alone = replace(
        project, experiments=(one.model_copy(update={"folds": [1]}), two.model_copy(update={"folds": [0]}), three)
    )
    assert shared_by_declaration(alone, EXPERIMENTS[:2]) == []
    assert shared_by_declaration(alone, EXPERIMENTS[1:]) == ["fold_0"]
    assert shared_by_declaration(alone, EXPERIMENTS[2:]) == ["fold_0", "fold_1"]


def test_one_experiment_alone_has_nothing_to_be_made_of(settings: Settings, project: Project) -> None:
    alone = replace(project, experiments=project.experiments[:1])
    assert found(settings, alone).nothing_because == NOTHING
    assert found(settings, project, max_members=1).nothing_because.endswith("are wanted (max_members: 1).")


def test_an_ensemble_of_an_experiment_that_is_gone_is_none(roots_and_project: Any) -> None:
    roots, project = roots_and_project
    (roots.results / DATASET / "ensembles" / "zzz").mkdir()
    there = ensembles_there(roots, project, DATASET)
    assert (there.members, there.outdated, there.summaries, there.reasons) == ({}, {}, (), {})


def test_members_that_do_not_agree_are_said_and_the_others_made(settings: Settings, project: Project) -> None:
    result = found(settings, project, max_members=3)
    assert max(map(len, result.members.values())) == 3
    assert set(result.digests) == set(result.members) == set(result.made)
    assert result.notes == ()


def test_where_their_runs_go_their_tables_go_too(
    settings: Settings, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[Experiment] = []
    made: dict[str, Any] = {
        "a": MadeStub(Experiment.ensemble(DATASET, "a"), 4),
        "b": MadeStub(Experiment.ensemble(DATASET, "b"), 6),
    }
    monkeypatch.setattr(found_ensembles, "make_ensembles", lambda *_, **__: made)
    monkeypatch.setattr(found_ensembles, "export_tables", lambda roots, of, destination: exported.append(of))
    somewhere: Any = "somewhere"
    result = found(settings, project, destination=somewhere)
    assert exported == [one.ensemble for one in made.values()]
    assert result.n_predicted == 6


class MadeStub:
    """An ensemble that was made, as far as it is counted."""

    def __init__(self, ensemble: Experiment, n_predicted: int) -> None:
        self.ensemble, self.n_predicted, self.made = ensemble, n_predicted, self
        self.digest = "a"
