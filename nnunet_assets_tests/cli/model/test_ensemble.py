"""`ensemble`, as a user calls it, with a child that stands for the processes that predict and score."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets import api
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold, read_committed
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.nnunet.probabilities import probabilities
from nnunet_assets_tests.ensemble_builders import EnsemblingChild, write_members
from nnunet_assets_tests.prepared_builders import DATASET
from nnunet_assets_tests.project_builders import documents, write_project

TYPE = "type: nnunet_assets.components."
EXPERIMENT = (
    TYPE + "CrossValidationExperiment\nattributes: {dataset: %s, configuration: 3d_fullres, variant: {name: %s, "
    "num_epochs: 5}}\n"
)
DECLARED = documents(
    f"{TYPE}NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n",
    *(EXPERIMENT % (DATASET, name) for name in ("deep", "wide", "long")),
    f"{TYPE}Ensemble\n"
    f"attributes: {{dataset: {DATASET}, name: both, members: [wide, deep], keep_probabilities: true}}\n",
)
MEMBERS = [Experiment(DATASET, "3d_fullres", variant=name) for name in ("deep", "wide", "long")]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> EnsemblingChild:
    child = EnsemblingChild()
    monkeypatch.setattr(probabilities, "run_child", child)
    monkeypatch.setattr(ensembling, "run_child", child)
    return child


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: EnsemblingChild) -> Path:
    roots = write_members(tmp_path, MEMBERS)
    for name, value in roots.environment().items():
        monkeypatch.setenv(name, value)
    return write_project(tmp_path, {"defs.yaml": DECLARED})


def run(project: Path, arguments: Sequence[str]) -> Result:
    command = ["ensemble", "--project", str(project), DATASET, *arguments]
    return CliRunner().invoke(main, command, terminal_width=100)


def test_members_are_named_by_their_words_and_the_result_is_shown(project: Path, child: EnsemblingChild) -> None:
    shown = run(project, ["long", "deep", "--device", "cpu", "--name", "mine"])
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert f"{DATASET} / ensembles / mine: 2 of 2 folds: Dice 1.000 ± 0.000 over folds" in words
    assert "Members: deep/nnUNetTrainer__nnUNetPlans__3d_fullres, long/nnUNetTrainer" in words
    assert {variant for masks in child.masks for variant in masks} == {"deep", "long"}
    assert not [*project.rglob("*.npz")]

    machine = run(project, ["deep", "long", "--name", "mine", "--json"])
    content = json.loads(machine.stdout)
    assert (content["folds_made"], content["cases_predicted"], content["n_cases"]) == ([], 0, 4)
    assert content == api.ensemble(DATASET, ["deep", "long"], name="mine", project=project).to_json()


def test_without_members_the_declared_one_is_made_as_it_is_declared(project: Path) -> None:
    result = run(project, ["--json"])
    content = json.loads(result.stdout)
    assert (content["ensemble"], content["folds_made"]) == ("ensembles/both", ["fold_0", "fold_1"])
    assert len([*project.rglob("*.npz")]) == 8  # `keep_probabilities`


def test_is_compared_and_listed_beside_the_experiments(project: Path) -> None:
    run(project, [])
    compared = api.compare(DATASET, project=project)
    assert "ensembles/both" in compared.experiments
    listed = CliRunner().invoke(main, ["list", "--project", str(project), "--source", "results", "--json"])
    assert f"{DATASET}/ensembles/both" in listed.stdout


def test_a_results_folder_says_which_of_its_folds_are_missing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, [])
    shutil.rmtree(tmp_path / "results" / DATASET / "ensembles/both/fold_1")
    monkeypatch.chdir(project)
    name = f"{DATASET}/ensembles/both"
    summary = api.summarize_experiment(DATASET, cv_group=name, results=tmp_path / "results")
    assert (summary.completed_folds, summary.missing_folds) == ([0], [1])


def test_its_masks_are_evaluated_and_a_changed_member_is_told(project: Path, tmp_path: Path) -> None:
    run(project, [])
    name = f"{DATASET}/ensembles/both"
    evaluated = api.evaluate(name, project=project)
    assert (evaluated.evaluation.n_evaluated, list(evaluated.evaluation.problems)) == (4, [])

    folder = MEMBERS[0].fold_folder(Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results"), "fold_1")
    manifest = read_committed(folder)
    commit_fold(folder, replace(manifest, n_epochs=manifest.n_epochs + 1))
    (mask,) = [*(tmp_path / "results" / name / "fold_0/validation").glob("a.nii.gz")]
    mask.unlink()
    text = api.evaluate(name, project=project).evaluation.problem_text()
    assert "fold_1 is not what its members are now" in text
    assert "`nnunet-assets ensemble` with the same members and `--name both` makes it again" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deep"], "two members or more, not 1"),
        (["deep", "deep"], "is a member of the ensemble twice"),
        (["deep", "weird"], "declares no experiment"),
        (["deep", "3d_fullres"], "experiments may be meant"),
        (["deep", "long", "--name", "both"], "is declared, of other members"),
        (["--name", "mine"], "declares no ensemble 'mine'"),
        (["deep", "long", "--name", "a/b"], "is no name of an ensemble"),
    ],
)
def test_what_is_no_ensemble_is_refused(project: Path, arguments: list[str], sentence: str) -> None:
    result = run(project, arguments)
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
