"""The list of trainers, as text and as JSON, and a new one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets_tests.project_builders import write_project

ODD = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
class nnUNetTrainerOdd(nnUNetTrainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, {})
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "odd.py").write_text(ODD)
    return tmp_path


def trainers(project: Path, *words: str) -> tuple[str, str]:
    done = CliRunner().invoke(main, ["trainers", *words, "--project", str(project)])
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


def test_the_list_has_what_each_sets_and_says_what_cannot_be_built(project: Path) -> None:
    out, err = trainers(project, "slicewise", "adam3en4", "odd")

    assert "nnUNetTrainerSliceWiseBN" in out
    assert "initial_lr 0.0003" in out
    assert "nnUNetTrainer_5epochs" not in out
    assert err.startswith(f"nnUNetTrainerOdd ({project}/trainers/odd.py:3) takes (*args, **kwargs). nnU-Net builds a ")
    assert trainers(project, "nothing")[0] == "No trainer is called so.\n"


def test_json_has_all_of_it(project: Path) -> None:
    (one,) = json.loads(trainers(project, "SliceWiseBN", "--json")[0])
    assert one["derives_from"] == [
        "nnUNetTrainerSliceWise",
        "nnUNetTrainerTunableBN",
        "nnUNetTrainerTunable",
        "nnUNetTrainer",
    ]
    assert one["sets"]["warmup_batches"] == 20
    assert one["problem"] is None


def test_a_new_one_is_in_the_list(project: Path) -> None:
    out, _ = trainers(project, "--new", "nnUNetTrainerMine")
    assert out == (
        f"{project}/trainers/nnUNetTrainerMine.py has a trainer nnUNetTrainerMine. Experiments name it as "
        "`trainer: nnUNetTrainerMine`.\n"
    )
    assert "momentum 0.95" in trainers(project, "mine")[0]
