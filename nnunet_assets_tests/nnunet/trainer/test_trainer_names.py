"""Which names of trainers the source tells."""

from pathlib import Path

import pytest

from nnunet_assets.nnunet.trainer.trainer_names import trainer_names


def test_nnunets_own_are_found_without_importing_it() -> None:
    names = trainer_names({})
    assert names
    assert {"nnUNetTrainer", "nnUNetTrainer_5epochs", "nnUNetTrainerDiceCELoss_noSmooth"} <= names


def test_those_of_the_users_own_are_found_in_modules_and_packages(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from elsewhere import Third\nclass First: pass\nSecond = First\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "more.py").write_text("class Fourth: pass\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "hidden.py").write_text("class Hidden: pass\n")

    names = trainer_names({"nnUNet_extTrainer": f"{tmp_path}:/not/there"})

    assert names
    assert {"First", "Second", "Third", "Fourth"} <= names
    assert "Hidden" not in names


@pytest.mark.parametrize("text", ["from elsewhere import *\n", "class Broken(:\n", "\0"])
def test_where_the_source_does_not_tell_nothing_is_claimed(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.py").write_text(text)

    assert trainer_names({"nnUNet_extTrainer": str(tmp_path)}) is None
