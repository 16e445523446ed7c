"""Which dataset and which fold are meant by what users of nnU-Net type."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.named_fold import NamedFold, dataset_named, fold_named
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError

HIPPOCAMPUS = "Dataset004_Hippocampus"
ROOTS = Roots(Path("/no/raw"), Path("/no/preprocessed"), Path("/no/results"))
DATASETS = (DatasetConfig(dataset=HIPPOCAMPUS), DatasetConfig(dataset="Dataset040_Hippo"))
PROJECT = Project(Path("/project"), DATASETS, ())


def test_a_named_fold_is_one_of_an_experiment() -> None:
    fold, config = NamedFold("4", "2d", "3", trainer="MyTrainer", unchanging={"num_gpus": 2}).chosen(PROJECT, ROOTS)
    assert (fold, config.identity.name, config.num_gpus) == ("fold_3", "MyTrainer__nnUNetPlans__2d", 2)


@pytest.mark.parametrize("named", [NamedFold(None, "2d", "0"), NamedFold("4", None, "0"), NamedFold("4", "2d", None)])
def test_dataset_configuration_and_fold_are_all_needed(named: NamedFold) -> None:
    with pytest.raises(ConfigError, match="DATASET, CONFIGURATION and FOLD are needed"):
        named.chosen(PROJECT, ROOTS)


@pytest.mark.parametrize("text", ["4", "004", HIPPOCAMPUS])
def test_a_dataset_is_named_as_nnunet_names_it(text: str) -> None:
    assert dataset_named(text, PROJECT, ROOTS) == HIPPOCAMPUS


def test_a_dataset_need_not_be_declared(tmp_path: Path) -> None:
    (tmp_path / "raw" / "Dataset005_Prostate").mkdir(parents=True)
    assert dataset_named("5", PROJECT, replace(ROOTS, raw=tmp_path / "raw")) == "Dataset005_Prostate"


@pytest.mark.parametrize("text", ["7", "Dataset004_Hippocampos", "hippocampus"])
def test_a_dataset_that_is_not_there_is_named_with_those_that_are(text: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"There is no dataset '{text}'\..*Dataset004_Hippocampus, Dataset040_Hippo \("
    ):
        dataset_named(text, PROJECT, ROOTS)


def test_two_datasets_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Dataset004_Other").mkdir()
    with pytest.raises(ConfigError, match="4 is that of Dataset004_Hippocampus, Dataset004_Other"):
        dataset_named("4", PROJECT, replace(ROOTS, preprocessed=tmp_path))


def test_a_fold_is_a_number_or_all() -> None:
    assert [fold_named(text) for text in ("0", "04", "all")] == ["fold_0", "fold_4", "fold_all"]
    for text in ("-1", "a", "fold_0", "", "1.0", "0.5"):
        with pytest.raises(ConfigError, match=f"FOLD is '{text}'. It is the number of a fold, such as 0, or all"):
            fold_named(text)
