"""The asset `found_ensembles` and the choice after it, with a child that stands for the processes that predict."""

from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.declarations.project import read_project
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.nnunet.probabilities import probabilities
from nnunet_assets_tests.assets.ensemble.test_ensemble_asset import DECLARED, MEMBERS
from nnunet_assets_tests.assets.graphs import graph, materialized, metadata
from nnunet_assets_tests.ensemble_builders import EnsemblingChild, write_members
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

UNDECLARED = DECLARED[: DECLARED.rindex("---")]


def test_pairs_are_made_shown_and_chosen_from_by_a_refresh_that_predicts_nothing(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = EnsemblingChild()
    for module in (probabilities, ensembling):
        monkeypatch.setattr(module, "run_child", child)
    roots: Roots = write_members(project, MEMBERS)
    for name, value in roots.environment().items():
        monkeypatch.setenv(name, value)
    write_project(project, {"defs.yaml": UNDECLARED})
    assets = graph(read_project(project))

    before = materialized(assets, "cv_summary", "best_configuration", folder=project, instance=instance)
    assert "Not made, and no candidates: ensembles/" in str(metadata(before, "best_configuration")["reasons"])
    assert child.predicted == []

    made = materialized(assets, "found_ensembles", folder=project, instance=instance)
    shown = metadata(made, "found_ensembles")
    assert (shown["headline"], shown["cases_predicted"]) == ("1 ensemble, 1 made now from 8 predicted cases", 8)
    (folder,) = (roots.results / MEMBERS[0].dataset / "ensembles").glob("[!.]*")
    assert (Experiment.ensemble(MEMBERS[0].dataset, folder.name).summary_folder(roots) / "cv_table.csv").is_file()
    child.predicted.clear()

    after = materialized(
        assets, "comparison", "best_configuration", "dataset_report", folder=project, instance=instance
    )
    assert metadata(after, "best_configuration")["chosen"] == f"ensembles/{folder.name}"
    assert child.predicted == []
    page = (roots.results / MEMBERS[0].dataset / "nnunet_assets" / "dataset_report.html").read_text()
    assert f"plans of ensembles/{folder.name}" in page
    assert "<b>2 of 2</b>experiments compared" in page
