import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.nnunet.training.model_files import write_model_files_whole

FILES = ["plans.json", "dataset.json", "dataset_fingerprint.json"]


@pytest.fixture
def start_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs what nnU-Net itself does at a fold's start, in a process that writes these files whole."""
    module = importlib.import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    for name in ("save_json", "shutil"):
        monkeypatch.setattr(module, name, getattr(module, name))
    write_model_files_whole()
    preprocessed, model = tmp_path / "preprocessed", tmp_path / "model"
    preprocessed.mkdir()
    (preprocessed / "dataset_fingerprint.json").write_text('{"spacings": []}')

    def nothing(*_: Any) -> None:
        pass

    def start(plans: Any, dataset_json: Any) -> Any:
        trainer = SimpleNamespace(
            was_initialized=True,
            get_dataloaders=lambda: (None, None),
            output_folder=str(model / "fold_1"),
            output_folder_base=str(model),
            preprocessed_dataset_folder_base=str(preprocessed),
            enable_deep_supervision=True,
            device=SimpleNamespace(type="cpu"),
            local_rank=1,
            is_ddp=False,
            plans_manager=SimpleNamespace(plans=plans),
            dataset_json=dataset_json,
            **dict.fromkeys(
                ("set_deep_supervision_enabled", "print_plans", "plot_network_architecture", "_save_debug_information"),
                nothing,
            ),
        )
        module.nnUNetTrainer.on_train_start(trainer)
        return model

    return start


def inodes(model: Any) -> Any:
    return [(model / name).stat().st_ino for name in FILES]


def test_a_fold_that_starts_leaves_the_files_beside_the_folds_as_they_are_where_they_say_the_same(
    start_fold: Any,
) -> None:
    model = start_fold({"b": 1, "a": 2}, {"labels": {}})
    assert (model / "plans.json").read_text() == json.dumps({"b": 1, "a": 2}, indent=4)  # as nnU-Net writes it
    before = inodes(model)
    start_fold({"b": 1, "a": 2}, {"labels": {}})
    assert inodes(model) == before
    start_fold({"b": 1, "a": 3}, {"labels": {}})
    assert [old == new for old, new in zip(before, inodes(model), strict=True)] == [False, True, True]
    assert sorted(path.name for path in model.iterdir()) == sorted([*FILES, "fold_1"])


def test_a_fold_that_dies_while_it_writes_them_leaves_them_whole(start_fold: Any) -> None:
    model = start_fold({"a": 1}, {"labels": {"liver": 1}})
    before = (model / "dataset.json").read_bytes()
    with pytest.raises(TypeError):  # in the middle of the file, as a kill
        start_fold({"a": 1}, {"labels": {"liver": 1}, "note": object()})
    assert (model / "dataset.json").read_bytes() == before
