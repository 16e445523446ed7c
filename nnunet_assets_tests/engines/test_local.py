"""The engine `local`: what a start of the fold's process is given of this machine."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.engines import local
from nnunet_assets.engines.engine import FoldWork
from nnunet_assets.processes.child import ChildResult


def work(folder: Path, *, num_gpus: int = 1, n_halvings: int = 0, waited: float = 0.0) -> FoldWork:
    """Returns a start of a fold's process that was asked for so many seconds ago."""
    attempt = FoldAttempt(
        Experiment("Dataset004_Hippocampus", "2d"),
        "fold_0",
        {},
        "cpu",
        FoldInputs("raw", "plans", "splits", "training"),
        None,
        TrainingOptions(num_gpus=num_gpus),
        fold_folder=folder / "fold_0",
        attempt="first",
        waited_seconds=0.0,
        meeting_folder=None,
    )
    environment = {"nnUNet_def_n_proc": "6", "nnUNet_n_proc_DA": "4", "PATH": "/bin"}
    return FoldWork("a_module", attempt, environment, n_halvings, None, time.monotonic() - waited)


@pytest.mark.parametrize(("num_gpus", "n_halvings", "workers"), [(1, 0, ("6", "4")), (2, 1, ("3", "2"))])
def test_the_process_gets_workers_of_this_machine_and_a_place_for_its_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_gpus: int, n_halvings: int, workers: tuple[str, str]
) -> None:
    started: list[tuple[FoldAttempt, Mapping[str, str]]] = []

    def run_child(module: str, request: FoldAttempt, **options: Any) -> ChildResult:
        assert (module, options["folder"]) == ("a_module", tmp_path / "fold_0" / ".nnunet_assets")
        assert request.meeting_folder is None or request.meeting_folder.is_dir()
        started.append((request, options["environment"]))
        return ChildResult(0, None, "")

    monkeypatch.setattr(local, "run_child", run_child)
    asked = work(tmp_path, num_gpus=num_gpus, n_halvings=n_halvings, waited=60)
    assert local.LOCAL.run(asked, on_poll=lambda: None, progress=SILENT).code == 0
    ((request, environment),) = started
    assert (environment["nnUNet_def_n_proc"], environment["nnUNet_n_proc_DA"]) == workers
    assert environment["PATH"] == "/bin"
    assert 60 <= request.waited_seconds < 90
    assert (request.meeting_folder is None) == (num_gpus == 1)
    assert request.meeting_folder is None or not request.meeting_folder.exists()
