"""What an ensemble is called, which folds it has, and what is refused before anything is predicted."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import CONFIGURATION_PATTERN, Experiment
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import ensemble
from nnunet_assets.workflows.model.ensemble import (
    MadeEnsemble,
    ensemble_name,
    make_ensemble,
    make_ensembles,
    make_named_ensemble,
    shared_folds,
)
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.project_builders import documents, write_project

DATASET = "Dataset001_Tiny"
PLAIN, FULLRES = Experiment(DATASET, "2d"), Experiment(DATASET, "3d_fullres")
SHORT = replace(PLAIN, variant="short")
DECLARED = documents(
    f"type: nnunet_assets.components.NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 3}}\n",
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 2d, folds: [0, 1]}}\n",
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres}}\n",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


@pytest.mark.parametrize(
    ("members", "pattern"),
    [
        ([FULLRES, PLAIN], "2d-3d_fullres"),
        ([PLAIN, SHORT], r"2d-2d-[0-9a-f]{8}"),
        ([replace(PLAIN, configuration=f"3d_{'x' * 60}"), PLAIN], r"2d-3d_x{42}[-]?x*-[0-9a-f]{8}"),
    ],
)
def test_an_ensemble_is_called_by_its_members_whatever_their_order(members: list[Experiment], pattern: str) -> None:
    name = ensemble_name(members)
    assert re.fullmatch(pattern, name)
    assert name == ensemble_name(members[::-1])
    assert re.fullmatch(CONFIGURATION_PATTERN, name)


def test_members_of_the_same_configurations_have_names_of_their_own() -> None:
    others = [replace(SHORT, variant=name) for name in ("short", "long", "deep")]
    assert len({ensemble_name([PLAIN, other]) for other in others}) == 3


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([PLAIN], "has two members or more, not 1"),
        ([], "has two members or more, not 0"),
        ([PLAIN, FULLRES, PLAIN], "nnUNetTrainer__nnUNetPlans__2d is a member of the ensemble twice"),
        ([PLAIN, replace(FULLRES, dataset="Dataset002_Other")], "is of another dataset than the ensemble"),
        ([PLAIN, Experiment.ensemble(DATASET, "both")], "is an ensemble, and the members of one are experiments"),
    ],
)
def test_what_is_no_ensemble_is_refused(settings: Settings, members: list[Experiment], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        make_ensemble(settings, DATASET, members, "both", SILENT)


@pytest.mark.parametrize("name", ["a/b", "a__b", "..", "", "x" * 65, "-a", "a b"])
def test_a_name_that_is_no_folder_of_ours_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an ensemble"):
        make_ensemble(settings, DATASET, [PLAIN, FULLRES], name, SILENT)
    assert not (settings.roots.results / DATASET).exists()


def test_its_folds_are_those_that_all_members_declare(tmp_path: Path) -> None:
    write_project(tmp_path, {"tiny/defs.yaml": DECLARED})
    assert shared_folds(Settings.from_environment(tmp_path, {}), [PLAIN, FULLRES]) == ("fold_0", "fold_1")


def test_its_folds_are_those_that_members_nobody_declares_have_finished(settings: Settings) -> None:
    for experiment, folds in ((PLAIN, ("fold_0", "fold_2", "fold_10")), (SHORT, ("fold_10", "fold_2", "fold_3"))):
        for fold in folds:
            write_fold(settings.roots, experiment, fold, {"a": HIGHER})
    write_fold(settings.roots, PLAIN, "fold_all", {"a": HIGHER})
    write_fold(settings.roots, SHORT, "fold_all", {"a": HIGHER})
    assert shared_folds(settings, [PLAIN, SHORT]) == ("fold_2", "fold_10")


def test_members_that_are_models_of_all_cases_only_have_no_fold_to_be_scored_on(settings: Settings) -> None:
    for experiment in (PLAIN, SHORT):
        write_fold(settings.roots, experiment, "fold_all", {"a": HIGHER})
    with pytest.raises(FoldError, match=r"no fold in common.*fold_all"):
        make_ensemble(settings, DATASET, [PLAIN, SHORT], "both", SILENT)


@pytest.mark.parametrize("name", ["a", "a_b", "2d-3d_fullres", "x" * 64])
def test_a_name_that_is_a_folder_of_ours_is_not(settings: Settings, name: str) -> None:
    with pytest.raises(FoldError, match="no fold in common"):
        make_ensemble(settings, DATASET, [PLAIN, FULLRES], name, SILENT)


def test_a_name_of_configurations_that_say_all_has_no_digest() -> None:
    two = "-".join(["2d", "3d_fullres"])
    assert ensemble_name([PLAIN, FULLRES]) == two
    for other in (replace(FULLRES, plans="other"), replace(FULLRES, trainer="T"), replace(FULLRES, variant="v")):
        assert re.fullmatch(f"({two}|3d_fullres-2d)-[0-9a-f]{{8}}", ensemble_name([PLAIN, other]))
    assert re.fullmatch(r"2d-3d_x-[0-9a-f]{8}", ensemble_name([PLAIN, replace(FULLRES, configuration="3d__x")]))
    longest = replace(FULLRES, configuration="3" * 61)
    assert ensemble_name([PLAIN, longest]) == f"2d-{longest.configuration}"
    too_long = ensemble_name([PLAIN, replace(FULLRES, configuration="3" * 62)])
    assert (len(too_long), too_long[:51]) == (59, f"2d-{'3' * 47}-")


def test_a_member_that_trains_other_folds_leaves_those_that_all_have(settings: Settings) -> None:
    for fold in ("fold_1", "fold_0"):
        write_fold(settings.roots, PLAIN, fold, {"a": HIGHER})
    with pytest.raises(FoldError, match=r"nnUNetTrainer__nnUNetPlans__2d \(fold_\d, fold_\d\), short.*\(none\)"):
        shared_folds(settings, [PLAIN, SHORT])


def test_a_made_one_says_where_it_lies_and_what_was_made() -> None:
    summary: Any = SimpleNamespace(headline=lambda: "A line.", to_json=lambda: {"folds": []})
    made: Any = SimpleNamespace(summary=summary)
    found = MadeEnsemble(
        Experiment.ensemble(DATASET, "both"),
        (PLAIN, SHORT),
        Path("both"),
        ("fold_0", "fold_1"),
        ("fold_1",),
        7,
        made,
    )
    assert (found.headline(), found.summary) == ("A line.", summary)
    assert found.validation_folders == {fold: Path(f"both/{fold}/validation") for fold in ("fold_0", "fold_1")}
    assert found.to_json() == {
        "ensemble": "ensembles/both",
        "members": ["nnUNetTrainer__nnUNetPlans__2d", "short/nnUNetTrainer__nnUNetPlans__2d"],
        "folder": "both",
        "folds_made": ["fold_1"],
        "cases_predicted": 7,
        "folds": [],
    }


@pytest.mark.parametrize(
    ("options", "folds", "keeps"),
    [
        ({}, ("fold_0",), False),
        ({"folds": [], "keeps_probabilities": True, "device": "cpu", "environment": {}}, (), True),
    ],
)
def test_it_is_made_of_the_folds_that_all_have_and_keeps_nothing_unless_it_is_said_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, options: Any, folds: Any, keeps: bool
) -> None:
    asked: list[object] = []

    def make(roots: object, dataset: object, wanted: object, used: object, **rest: object) -> Any:
        asked.extend((roots, dataset, wanted, used, rest))
        return SimpleNamespace(made={"both": ("fold_0",)}, n_predicted=7)

    monkeypatch.setattr(ensembling, "make_ensembles", make)
    monkeypatch.setattr(ensemble, "make_summary", lambda *found, **_: found)
    for one in (PLAIN, FULLRES):
        write_fold(settings.roots, one, "fold_0", {"a": HIGHER})
    found = make_ensembles(settings, DATASET, {"both": (PLAIN, FULLRES), "again": (FULLRES, PLAIN)}, SILENT, **options)
    wanted = [
        ensembling.Wanted("both", (PLAIN, FULLRES), keeps),
        ensembling.Wanted("again", (PLAIN, FULLRES), keeps),
    ]
    environment = options.get("environment", settings.child_environment())
    rest = {"device": options.get("device", "auto"), "environment": environment, "progress": SILENT}
    assert asked == [settings.roots, DATASET, wanted, folds, rest]
    assert [(one.made_folds, one.n_predicted, one.folds) for one in found.values()] == [
        (("fold_0",), 7, folds),
        ((), 7, folds),
    ]


ENSEMBLE = (
    "type: nnunet_assets.components.Ensemble\n"
    f"attributes: {{dataset: {DATASET}, name: NAME, members: [2d, 3d_fullres], device: cpu, "
    "keep_probabilities: true}\n"
)
VARIANT = (
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 2d, variant: {{name: short, num_epochs: 5}}}}\n"
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is asked for where a person names an ensemble: members, name, folds, device, whether probabilities stay."""
    seen: list[tuple[Any, ...]] = []

    def noted(settings: Any, dataset: str, members: Any, name: Any, progress: Any, **options: Any) -> None:
        seen.append((tuple(members), name, options["folds"], options["device"], options["keeps_probabilities"]))

    monkeypatch.setattr(ensemble, "make_ensemble", noted)
    return seen


def project_with(folder: Path, *names: str) -> Settings:
    ensembles = [ENSEMBLE.replace("NAME", name) for name in names]
    write_project(folder, {"tiny/defs.yaml": documents(DECLARED, VARIANT, *ensembles)})
    return Settings.from_environment(folder, {})


def test_members_are_named_by_their_words(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    settings = project_with(tmp_path)
    make_named_ensemble(settings, DATASET, ["short 2d", "3d_fullres"], None, SILENT)
    make_named_ensemble(
        settings, DATASET, ["short", "3d_fullres"], "mine", SILENT, device="cuda", keeps_probabilities=True
    )
    assert asked == [
        ((SHORT, FULLRES), None, None, "auto", False),
        ((SHORT, FULLRES), "mine", None, "cuda", True),
    ]


def test_a_declared_one_is_made_as_it_is_declared(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    settings = project_with(tmp_path, "both")
    as_declared = ((PLAIN, FULLRES), "both", ["fold_0", "fold_1"], "cpu", True)
    make_named_ensemble(settings, DATASET, [], None, SILENT)
    make_named_ensemble(settings, DATASET, [], "both", SILENT)
    make_named_ensemble(settings, DATASET, ["3d_fullres", "nnUNetTrainer__nnUNetPlans__2d"], "both", SILENT)
    make_named_ensemble(settings, DATASET, [], "both", SILENT, device="cuda", keeps_probabilities=False)
    assert asked[:2] == [as_declared] * 2
    assert asked[2] == ((FULLRES, PLAIN), *as_declared[1:])
    assert asked[3] == (*as_declared[:3], "cuda", False)


def test_which_declared_one_is_meant_must_be_said(tmp_path: Path, asked: list[tuple[Any, ...]]) -> None:
    settings = project_with(tmp_path / "two", "both", "other")
    with pytest.raises(ConfigError, match=r"declares no ensemble alone of .* Declared: both, other\."):
        make_named_ensemble(settings, DATASET, [], None, SILENT)
    with pytest.raises(ConfigError, match=r"declares no ensemble 'third' of "):
        make_named_ensemble(settings, DATASET, [], "third", SILENT)
    with pytest.raises(ConfigError, match=r"Declared: none\."):
        make_named_ensemble(project_with(tmp_path / "none"), DATASET, [], None, SILENT)
    with pytest.raises(ConfigError, match=r"both is declared, of other members: .*Give yours another name"):
        make_named_ensemble(settings, DATASET, ["short 2d", "3d_fullres"], "both", SILENT)
    # Members without a name are none that is declared, even where only one is.
    make_named_ensemble(settings, DATASET, ["short 2d", "3d_fullres"], None, SILENT)
    make_named_ensemble(settings, DATASET, [], "other", SILENT)
    assert [one[1] for one in asked] == [None, "other"]
