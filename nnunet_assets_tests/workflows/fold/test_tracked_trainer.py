"""nnU-Net called from Python with a tracked trainer class: nnU-Net's own names, and a run with every epoch."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.workflows.fold.tracked_trainer import TRACKED, create_tracked_trainer
from nnunet_assets.workflows.fold.tracker_config import TrackerConfig
from nnunet_assets_tests.nnunet_in_process import SPAWNED_IN_THREADS
from nnunet_assets_tests.tracking.folds import Tracked
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.training_builders import DATASET, PhantomProject

pytestmark = MLFLOW_WARNINGS

TRAIN = """
import inspect
import sys
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunet_assets import create_tracked_trainer

folder, dataset = sys.argv[1:]
Trainer = create_tracked_trainer(nnUNetTrainer)
assert (Trainer.__name__, Trainer.__module__) == (nnUNetTrainer.__name__, nnUNetTrainer.__module__)
assert inspect.signature(Trainer.__init__) == inspect.signature(nnUNetTrainer.__init__)
plans = {**load_json(f"{folder}/nnUNetPlans.json"), "continue_training": False}
trainer = Trainer(plans, "3d_fullres", 0, load_json(f"{folder}/dataset.json"), torch.device("cpu"))
trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 2, 2, 1
trainer.run_training()
trainer.perform_actual_validation()
"""


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, prepared_phantom: PhantomProject, new_store: bytes
) -> tuple[PhantomProject, Path]:
    """The project, and the folder in whose store the run lies."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "data").mkdir()
    (folder / "data" / "mlflow.db").write_bytes(new_store)
    project = prepared_phantom.copy_to(folder)
    variables = {"NNUNET_ASSETS_PROJECT": str(folder), "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    environment = {**os.environ, **project.roots.environment(), **variables}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-c", SPAWNED_IN_THREADS + TRAIN, project.prepared.folder, DATASET],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return project, folder


def test_the_run_has_every_epoch_once_and_the_scores_of_the_validation(trained: tuple[PhantomProject, Path]) -> None:
    tracked = Tracked(f"sqlite:///{trained[1]}/data/mlflow.db", trained[1] / "data")
    run = tracked.run
    assert run.info.status == "FINISHED"
    assert run.data.tags["nnunet_assets.fold"] == "fold_0"
    assert run.data.tags["nnunet_assets.experiment"] == f"{DATASET}/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert [step for step, _ in tracked.history("train_loss")] == [0, 1]
    assert 0 <= run.data.metrics["val_dice_mean"] <= 1
    assert run.data.params["trainer/num_epochs"] == "2"
    assert len(run.data.params) >= 60


def test_the_result_is_nnunets_own(trained: tuple[PhantomProject, Path]) -> None:
    model = trained[0].roots.results / DATASET / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    import torch

    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth", weights_only=False, map_location="cpu")
    assert checkpoint["trainer_name"] == "nnUNetTrainer"


class Base:
    def run_training(self) -> str:
        return "trained"


class TestWhatIsTracked:
    @pytest.fixture(autouse=True)
    def _a_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NNUNET_TRACKER_ENABLED", raising=False)
        monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(tmp_path))

    def test_is_a_trainer_of_nnunet_or_refused(self) -> None:
        with pytest.raises(TypeError, match="takes a class, such as nnUNetTrainer, and got <"):
            create_tracked_trainer(Base())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="dict is no trainer of nnU-Net: it has no run_training") as caught:
            create_tracked_trainer(dict)
        assert isinstance(caught.value, ConfigError)

    def test_is_tracked_once(self) -> None:
        tracked = create_tracked_trainer(Base)
        assert issubclass(tracked, Base)
        assert tracked is not Base
        assert create_tracked_trainer(tracked) is tracked
        derived = type("Derived", (tracked,), {})
        assert create_tracked_trainer(derived) is derived

    def test_takes_in_every_method_what_nnunets_own_takes(self) -> None:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        tracked = create_tracked_trainer(nnUNetTrainer)
        overridden = [name for name, one in vars(tracked).items() if callable(one) and hasattr(nnUNetTrainer, name)]
        assert {"run_training", "on_train_start", "perform_actual_validation"} <= {*overridden}
        for name in {*overridden, "__init__"} - {"__class__", TRACKED}:
            own, theirs = (inspect.signature(getattr(one, name)).parameters for one in (tracked, nnUNetTrainer))
            assert [(one.name, one.default) for one in own.values()] == [
                (one.name, one.default) for one in theirs.values()
            ], name

    def test_is_nothing_where_tracking_is_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tracked, off = create_tracked_trainer(Base), TrackerConfig("sqlite:////x.db", enabled=False)
        assert create_tracked_trainer(Base, config=off) is Base
        assert create_tracked_trainer(tracked, off) is Base
        monkeypatch.setenv("NNUNET_TRACKER_ENABLED", "0")
        assert create_tracked_trainer(Base) is Base
