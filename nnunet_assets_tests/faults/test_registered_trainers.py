"""A model of a trainer that nnU-Net does not have, loaded by MLflow where nothing but nnU-Net is installed."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.packages.trainer_files import trainer_files
from nnunet_assets.processes.variables import with_trainers
from nnunet_assets.tracking.registry.model_folder import PACKAGE_PATH, TRAINERS_FOLDER, mlflow_folder
from nnunet_assets_tests.evaluation_builders import REFERENCE, write_case
from nnunet_assets_tests.nnunet.trainer.test_parameters import DATASET, DATASET_JSON, PLANS
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.package_builders import ABOUT, model_of
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

MINE = """
from pathlib import Path
from nnunet_assets.trainers.nnunet_trainer_tunable import nnUNetTrainerTunableBN

(Path.home() / "imported").touch()

class nnUNetTrainerMine(nnUNetTrainerTunableBN):
    pass
"""

BARE = """
import sys
# As where nnunet_assets was never installed: its finder, and its folder.
sys.meta_path = [one for one in sys.meta_path if "editable" not in repr(one).lower()]
sys.path = [one for one in sys.path if one and "nnunet_assets" not in one]
from importlib.util import find_spec
assert find_spec("nnunet_assets") is None
import pandas as pd
import mlflow
from pathlib import Path
model, image, mask = sys.argv[1:]
table = pd.DataFrame({"channel_0000": [Path(image).read_bytes()]})
for _ in range(2):
    found = mlflow.pyfunc.load_model(model).predict(table, params={"device": "cpu"})
Path(mask).write_bytes(found["mask"][0])
import os
assert not [name for name in os.environ if name.startswith("nnUNet")], os.environ
"""


@pytest.mark.parametrize("trainer", ["nnUNetTrainerSliceWiseBN", "nnUNetTrainerMine"])
def test_it_loads_and_predicts_what_nnunet_predicts_with_the_trainer(tmp_path: Path, trainer: str) -> None:
    own = tmp_path / "trainers"
    own.mkdir()
    (own / "mine.py").write_text(MINE)
    home = tmp_path / "home"
    home.mkdir()
    variables = with_trainers({"HOME": str(home)}, own)
    member = written_model(tmp_path / "model", trainer, variables)
    image = tmp_path / "case_0000.nii.gz"
    write_case(image, REFERENCE)
    expected = predicted(member.folder, image, tmp_path / "expected", variables)
    (home / "imported").unlink(missing_ok=True)
    package = write_package(model_of(member), ABOUT, tmp_path / "package").folder
    trainers = trainer_files([trainer], variables)

    with mlflow_folder(package, [image.read_bytes()], trainers.files) as place:
        read = open_package(package, frozenset({trainer}))
        assert not (home / "imported").exists()  # who reads a version runs nothing of it
        assert not list((place / PACKAGE_PATH).rglob("*.py"))  # nor does what they download hold any code
        assert list((place / "artifacts" / TRAINERS_FOLDER).rglob("*.py"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet")}
        command = [sys.executable, "-c", BARE, str(place), str(image), str(tmp_path / "mask.nii.gz")]
        done = subprocess.run(
            command, env={**environment, "HOME": str(home)}, cwd=home, capture_output=True, text=True, check=False
        )
        text = (place / "MLmodel").read_text()

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mask.nii.gz").read_bytes() == expected
    assert (home / "imported").exists() == (trainer == "nnUNetTrainerMine")
    assert read.description.members[0].trainer == trainer
    assert str(tmp_path) not in text


def written_model(folder: Path, trainer: str, variables: Mapping[str, str]) -> Member:
    """Writes a model of a network that was never trained."""
    experiment = Experiment(DATASET, "3d_fullres", trainer=trainer)
    tiny = TinyTrainers(folder / "roots")
    tiny.variables = {**tiny.variables, **variables}
    with nnunet_in_process(tiny.variables):
        built = tiny.initialized(trainer)
        model = folder / experiment.name
        (model / "fold_0").mkdir(parents=True)
        built.inference_allowed_mirroring_axes = (0, 1, 2)
        built.save_checkpoint(str(model / "fold_0" / "checkpoint_final.pth"))
    plans = {name: value for name, value in PLANS.items() if name != "continue_training"}
    intensities = dict.fromkeys(("mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5"), 1.0)
    plans |= {"transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2]}
    plans |= {"foreground_intensity_properties_per_channel": {"0": intensities}}
    (model / "plans.json").write_text(json.dumps(plans))
    (model / "dataset.json").write_text(json.dumps(DATASET_JSON))
    return Member(experiment, model, ("fold_0",), "checkpoint_final.pth", None)


def predicted(model: Path, image: Path, folder: Path, variables: Mapping[str, str]) -> bytes:
    """Returns the mask that nnU-Net's own predictor writes, with the trainer's folder in its environment."""
    folder.mkdir()
    with nnunet_in_process(variables), warnings.catch_warnings():
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor: Any = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_final.pth")
        predictor.predict_from_files_sequential([[str(image)]], [str(folder / "case")], False, True, None)
    return (folder / "case.nii.gz").read_bytes()
