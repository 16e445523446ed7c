"""The asset `ensemble` and what follows from it, with a child that stands for the processes that predict and score."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.assets.graph import ensemble_definitions, ensemble_keys
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold, read_committed
from nnunet_assets.declarations.project import read_project
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.nnunet.probabilities import probabilities
from nnunet_assets_tests.assets.graphs import check, failure, graph, materialized, metadata
from nnunet_assets_tests.ensemble_builders import EnsemblingChild, write_members
from nnunet_assets_tests.prepared_builders import DATASET
from nnunet_assets_tests.project_builders import documents, write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

KIND = "type: nnunet_assets.components."
DECLARED = documents(
    f"{KIND}NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n",
    *(
        f"{KIND}CrossValidationExperiment\n"
        f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres, variant: {{name: {name}, num_epochs: 5}}}}\n"
        for name in ("deep", "wide")
    ),
    f"{KIND}Ensemble\nattributes: {{dataset: {DATASET}, name: both, members: [wide, deep], device: cpu}}\n",
)
MEMBERS = [Experiment(DATASET, "3d_fullres", variant=name) for name in ("deep", "wide")]
ENSEMBLE = Experiment.ensemble(DATASET, "both")


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> EnsemblingChild:
    child = EnsemblingChild()
    monkeypatch.setattr(probabilities, "run_child", child)
    monkeypatch.setattr(ensembling, "run_child", child)
    return child


@pytest.fixture
def roots(project: Path, monkeypatch: pytest.MonkeyPatch, child: EnsemblingChild) -> Roots:
    roots = write_members(project, MEMBERS)
    for name, value in roots.environment().items():
        monkeypatch.setenv(name, value)
    write_project(project, {"defs.yaml": DECLARED})
    return roots


def made(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(graph(read_project(project)), *names, folder=project, instance=instance)


def test_it_depends_on_the_folds_of_its_members_and_is_compared(project: Path, roots: Roots) -> None:
    specs = {spec.key: spec for spec in graph(read_project(project)).resolve_all_asset_specs()}
    folds, summary, *_ = ensemble_keys(ENSEMBLE)
    assert folds == dg.AssetKey([DATASET, "ensembles", "both", "ensemble"])
    assert {dep.asset_key for dep in specs[folds].deps} == {
        dg.AssetKey([*member.key_prefix, "fold_model"]) for member in MEMBERS
    }
    assert {dep.asset_key for dep in specs[summary].deps} == {folds}
    assert summary in {dep.asset_key for dep in specs[dg.AssetKey([DATASET, "comparison"])].deps}
    assert all(key in specs for key in ensemble_keys(ENSEMBLE))


def test_it_is_made_summarized_and_evaluated(project: Path, roots: Roots, instance: dg.DagsterInstance) -> None:
    declared = read_project(project)
    alone = ensemble_definitions(declared, declared.ensembles[0])
    names = [key.path[-1] for key in ensemble_keys(ENSEMBLE)]
    result = materialized(alone, *names, folder=project, instance=instance)
    assert result.success
    shown = metadata(result, "ensemble")
    assert shown["members"] == [member.name_in_dataset for member in MEMBERS]
    assert (shown["dice_mean_pooled"], shown["validation_cases"], shown["cases_predicted"]) == (1.0, 4, 8)
    assert shown["folds_made"] == "fold_0, fold_1"
    assert check(result, "folds_are_as_recorded").passed
    assert check(result, "has_every_fold").passed
    assert "2 of 2 folds" in str(metadata(result, "cv_summary")["headline"])
    assert (ENSEMBLE.summary_folder(roots) / "cv_table.tex").is_file()
    assert metadata(result, "cv_evaluation")["cases_computed"] == 4
    page = (ENSEMBLE.summary_folder(roots) / "cv_report.html").read_text()
    assert "Dice of every validation case, by label." in page
    assert f"models of a fold were averaged: {MEMBERS[0].name_in_dataset}, {MEMBERS[1].name_in_dataset}." in page
    assert "epoch" not in page


def test_a_member_that_is_not_finished_is_the_reason_of_the_failure(
    project: Path, roots: Roots, instance: dg.DagsterInstance
) -> None:
    folder = MEMBERS[1].fold_folder(roots, "fold_1")
    commit_fold(folder, replace(read_committed(folder), files={"checkpoint_final.pth": "of other weights"}))
    result = made(project, instance, "ensemble")
    assert not result.success
    assert "fold_1 of Dataset951_Records / wide" in failure(result)
    assert "is not finished" in failure(result)
