"""What of trainers goes along with a model, and what of a project does not."""

import os
import sys
from pathlib import Path

import pytest

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.trainer_files import trainer_files
from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.processes.variables import EXTERNAL_TRAINERS, with_trainers

MINE = """
import helpers.deep
from own_losses import Loss
from nnunet_assets.trainers.nnunet_trainer_tunable import nnUNetTrainerTunable

class nnUNetTrainerMine(nnUNetTrainerTunable):
    pass
"""
PLAIN = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class nnUNetTrainerPlain(nnUNetTrainer):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "mine.py": MINE,
        "plain.py": PLAIN,
        "own_losses.py": "import json\nimport missing_here\n",
        "helpers/__init__.py": "",
        "helpers/deep.py": "from own_losses import Loss\n",
        "secret.py": "PASSWORD = 'canary'\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_nnunets_own_trainers_need_nothing_along() -> None:
    assert trainer_files(["nnUNetTrainer", "nnUNetTrainerAdam"], with_trainers({})).files == {}


def test_ours_go_as_a_package_of_their_own_that_imports_without_the_rest(tmp_path: Path) -> None:
    found = trainer_files(["nnUNetTrainerSliceWiseBN"], with_trainers({}))

    assert found.own == ()
    assert all(path.startswith("nnunet_assets/") for path in found.files)
    assert {"nnunet_assets/__init__.py", "nnunet_assets/trainers/parts/learning_rates.py"} <= {*found.files}
    imported = b"".join(found.files.values())
    assert b"nnunet_assets.core" not in imported
    assert b"import nnunet_assets\n" not in imported


def test_a_projects_own_goes_with_what_it_imports_from_beside_it_and_nothing_else(folder: Path) -> None:
    found = trainer_files(["nnUNetTrainerMine"], with_trainers({}, folder))

    own = sorted(path.removeprefix("own/") for path in found.files if path.startswith("own/"))
    assert own == ["helpers/__init__.py", "helpers/deep.py", "mine.py", "own_losses.py"]
    assert sorted(path.relative_to(folder).as_posix() for path in found.own) == own
    assert "nnunet_assets/trainers/nnunet_trainer_tunable.py" in found.files  # what it derives from
    assert found.files["own/mine.py"] == (folder / "mine.py").read_bytes()


def test_one_in_a_package_goes_with_it_and_with_what_it_names_from_where_it_stands(tmp_path: Path) -> None:
    trainer = PLAIN.replace("Plain", "Packed") + "from .losses import Loss\nfrom ..own_losses import Other\n"
    files = {
        "own_losses.py": "",
        "mine/__init__.py": "",
        "mine/trainer.py": trainer,
        "mine/losses.py": "from . import deep\n",
        "mine/deep.py": "",
        "mine/secret.py": "PASSWORD = 'canary'\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    found = trainer_files(["nnUNetTrainerPacked"], with_trainers({}, tmp_path)).files

    assert sorted(found) == sorted(f"own/{name}" for name in files if "secret" not in name)


@pytest.mark.filterwarnings("ignore")  # MLflow's, on what it imports
def test_files_of_one_name_in_two_folders_go_along_both_and_nnunet_finds_what_it_trained_with(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from nnunet_assets.tracking.registry.served_model import _trainers_found

    other, unasked = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("unasked")
    texts = {
        folder / "plain.py": PLAIN,
        other / "plain.py": PLAIN.replace("Plain(", "Other("),
        other / "mine.py": PLAIN.replace("Plain(", "SliceWise(  # of ours there is one of this name\n    "),
        unasked / "plain.py": PLAIN.replace("Plain(", "Unasked("),
    }
    for file, text in texts.items():
        file.write_text(text)
    trainers = ["nnUNetTrainerOther", "nnUNetTrainerPlain", "nnUNetTrainerSliceWise", "nnUNetTrainerTunable"]
    variables = with_trainers({}, unasked, folder, other)
    found = trainer_files(trainers, variables)

    own = {path: content for path, content in found.files.items() if path.startswith("own")}
    assert sorted(own) == ["own/plain.py", "own_2/mine.py", "own_2/plain.py"]
    assert own["own/plain.py"] == (folder / "plain.py").read_bytes()
    assert own["own_2/plain.py"] == (other / "plain.py").read_bytes()
    model = tmp_path_factory.mktemp("model")
    for path, content in found.files.items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(EXTERNAL_TRAINERS, raising=False)
        with _trainers_found(model):
            served = found_trainers(os.environ).classes
    trained = found_trainers(variables).classes
    for name in trainers:
        assert served[name].file.read_bytes() == trained[name].file.read_bytes(), name
    assert served["nnUNetTrainerSliceWise"].folder == model / "own_2"


def test_one_on_nnunets_own_goes_alone(folder: Path) -> None:
    assert [*trainer_files(["nnUNetTrainerPlain"], with_trainers({}, folder)).files] == ["own/plain.py"]


def test_nothing_of_a_trainer_is_run(folder: Path) -> None:
    (folder / "plain.py").write_text(f"raise SystemExit\n{PLAIN}")

    assert trainer_files(["nnUNetTrainerPlain"], with_trainers({}, folder)).own
    assert "plain" not in sys.modules


def test_a_trainer_that_is_nowhere_is_told(folder: Path) -> None:
    with pytest.raises(PackageError, match="nnUNetTrainerGone is in none of the folders in which nnU-Net looks"):
        trainer_files(["nnUNetTrainer", "nnUNetTrainerGone"], with_trainers({}, folder))
