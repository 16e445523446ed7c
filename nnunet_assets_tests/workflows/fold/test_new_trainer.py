"""A trainer of the project's own: written once, found by nnU-Net, and what it sets is chosen by a variant."""

from pathlib import Path

import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold.new_trainer import write_new_trainer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def test_it_is_found_and_can_be_built(settings: Settings) -> None:
    file = write_new_trainer(settings, "nnUNetTrainerMine")

    assert file == settings.project / "trainers" / "nnUNetTrainerMine.py"
    found = found_trainers(settings.child_environment())
    assert found.trainers["nnUNetTrainerMine"].problem is None
    assert found.settings("nnUNetTrainerMine") == {"momentum": 0.95}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nnUNetTrainer", "There is a trainer nnUNetTrainer already, in "),
        ("nnUNetTrainerMine", "There is a trainer nnUNetTrainerMine already, in "),
        ("", "cannot be called ''"),
        ("../mine", "cannot be called '../mine'"),
        ("my__trainer", "cannot be called 'my__trainer'"),
        ("1st", "cannot be called '1st'"),
        ("taken", "taken.py is there already"),
    ],
)
def test_other_names_are_refused(settings: Settings, name: str, sentence: str) -> None:
    write_new_trainer(settings, "nnUNetTrainerMine")
    (settings.project / "trainers" / "taken.py").write_text("# nothing yet\n")

    with pytest.raises(ConfigError) as caught:
        write_new_trainer(settings, name)

    assert sentence in str(caught.value)
    assert sorted(path.name for path in (settings.project / "trainers").iterdir()) == [
        "nnUNetTrainerMine.py",
        "taken.py",
    ]
