"""A search on prepared data whose folds are trained by a fake, and whose trials begin in turn, without Ray."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.search import direction, run, search_files, trial
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.direction import DONE, Direction
from nnunet_assets.workflows.search.trial import TrialRun, TrialWork
from nnunet_assets_tests.fakes.fold_child import Ends, FoldChild, played
from nnunet_assets_tests.prepared_builders import DATASET, dataset_of, write_prepared
from nnunet_assets_tests.project_builders import documents, write_project

DOCUMENTS = (
    f"type: nnunet_assets.components.NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n",
    f"""type: nnunet_assets.components.Search
attributes:
  name: lr
  of: {{dataset: {DATASET}, configuration: 3d_fullres, device: cpu}}
  space: {{initial_lr: {{choice: [0.1, 0.2, 0.3]}}}}
  budget: {{trials: 2, max_epochs: 2}}
""",
)


@dataclass(frozen=True)
class PlayedSearch:
    """Where it lies, and who plays its folds."""

    settings: Settings
    project: Project
    config: SearchConfig
    child: FoldChild

    @property
    def work(self) -> TrialWork:
        return TrialWork(self.settings, self.project, self.config, None)


def play_search(root: Path, monkeypatch: pytest.MonkeyPatch, *script: Ends) -> PlayedSearch:
    """Returns a search of two of three points, on two epochs; the folds' first starts end as the script says."""
    roots, _ = write_prepared(root / "data")
    write_project(root, {"a/defs.yaml": documents(*DOCUMENTS)})
    folders = {**roots.environment(), "NNUNET_ASSETS_PROJECT": str(root)}
    settings = Settings.from_environment(root, folders)
    project = read_project(root)

    def request(
        _: object, __: object, config: ExperimentConfig, fold: str, *given: object, **more: object
    ) -> FoldRequest:
        return _request(roots, config, fold)

    def point(space: Any, sampler: str, seed: int, trials: Any, curves: Any, **_: Any) -> dict[str, Any]:
        return {"initial_lr": [0.1, 0.2, 0.3, 0.4][len(trials)]}

    for module in (run, trial):
        monkeypatch.setattr(module, "prepared_request", request)
    monkeypatch.setattr(direction, "next_point", point)
    monkeypatch.setattr(run, "missing_packages", lambda: None)
    return PlayedSearch(settings, project, project.searches[0], played(monkeypatch, *script))


def play_in_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a project whose search, played as by `play_search`, any process' variables lead to; it has no figures."""
    search = play_search(root, monkeypatch)
    for name, value in search.settings.roots.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "run_child", drive_in_turn(search))
    monkeypatch.setattr(search_files, "_page", lambda *_: b"<html>")  # drawn by its own tests
    return root


def _request(roots: Roots, config: ExperimentConfig, fold: str) -> FoldRequest:
    inputs = fold_inputs(dataset_of(roots, config.identity), config.identity, fold, config.training_hash())
    overrides = config.variant.overrides() if config.variant else {}
    return FoldRequest(config.identity, fold, overrides, "cpu", inputs, dagster_run_id=None)


def drive_in_turn(search: PlayedSearch) -> Callable[..., ChildResult]:
    """Returns what stands in the place of `run_child`: the driver, in this process, one trial after the other."""

    def run_child(
        module: str, request: Any, *, folder: Path, environment: Any, on_poll: Callable[[], None]
    ) -> ChildResult:
        directed = Direction(Book(search.config, search.settings.roots))
        while begun := directed.next_trial(name := str(len(directed.book.record.trials))):
            training = TrialRun(search.work, begun.number, begun.point)
            training.start()
            while not (report := training.next_report(30) or {DONE: True}).get(DONE):
                directed.reported(name, report)
            training.end()
            directed.completed(name, report, is_error=False)
            on_poll()
        return ChildResult(0, None, "")

    return run_child
