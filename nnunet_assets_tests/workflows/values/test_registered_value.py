"""Which version a declaration's asset made last, where several are registered under one name."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.workflows.values import registered_value
from nnunet_assets.workflows.values.registered_value import newest_version
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

REGISTERED = EXPERIMENT.replace("configuration: 2d", "configuration: 2d\n  register: Brain")
OTHER = EXPERIMENT.replace("configuration: 2d", "configuration: 3d_fullres\n  register: Brain")
PLAIN = EXPERIMENT.replace("configuration: 2d", "configuration: 3d_lowres")
KEY = (*Experiment("Dataset004_Hippocampus", "2d").key_prefix, "registered_model")
NAME, OTHER_NAME = "/".join(KEY[:-1]), "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres"


def version(number: int, members: str) -> Any:
    return type("Version", (), {"version": number, "tags": {"nnunet_assets.experiment": members}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = {"Brain": [version(3, OTHER_NAME), version(2, NAME), version(1, NAME)]}
    monkeypatch.setattr(registered_value, "list_versions", lambda _destination, name: found[name])
    return write_project(tmp_path, {"defs.yaml": documents(DATASET, REGISTERED, OTHER, PLAIN)})


def test_it_is_the_newest_of_the_same_members(project: Path) -> None:
    nowhere: Any = None
    assert newest_version(project, KEY, nowhere).version == 2
    assert newest_version(project, (*OTHER_NAME.split("/"), "registered_model"), nowhere).version == 3


def test_what_registers_nothing_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere: Any = None
    lowres = Experiment("Dataset004_Hippocampus", "3d_lowres")
    for key in ((*lowres.key_prefix, "registered_model"), ("Dataset004_Hippocampus", "registered_model")):
        with pytest.raises(ConfigError, match="asks for no registered model"):
            newest_version(project, key, nowhere)
    monkeypatch.setattr(registered_value, "list_versions", lambda _destination, _name: [])
    with pytest.raises(TrackingError, match=r"No version of 'Brain' was registered for .*2d\. Materialize it first\."):
        newest_version(project, KEY, nowhere)


def test_of_a_dataset_it_is_the_newest_of_what_was_chosen_whatever_its_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    found = [version(3, OTHER_NAME), version(2, NAME)]
    monkeypatch.setattr(registered_value, "list_versions", lambda *given: asked.append(given) or found)
    write_project(tmp_path, {"defs.yaml": documents(f"{DATASET}  register: Choice\n", PLAIN)})
    nowhere: Any = "nowhere"
    assert newest_version(tmp_path, ("Dataset004_Hippocampus", "registered_model"), nowhere).version == 3
    assert asked == [("nowhere", "Choice")]


def test_of_an_ensemble_it_is_the_newest_of_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [version(3, NAME), version(2, f"{OTHER_NAME},{NAME}"), version(1, f"{NAME},{OTHER_NAME}")]
    monkeypatch.setattr(registered_value, "list_versions", lambda _destination, name: found if name == "Pair" else [])
    ensemble = (
        "type: nnunet_assets.components.Ensemble\n"
        "attributes: {dataset: Dataset004_Hippocampus, name: both, members: [2d, 3d_fullres], register: Pair}\n"
    )
    write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT, OTHER, ensemble)})
    nowhere: Any = None
    key = ("Dataset004_Hippocampus", "ensembles", "both", "registered_model")
    assert newest_version(tmp_path, key, nowhere).version == 2
