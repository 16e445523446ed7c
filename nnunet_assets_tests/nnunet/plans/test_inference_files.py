"""nnU-Net's notes of what to predict with, against nnU-Net's own."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.largest_component import postprocessed
from nnunet_assets.nnunet.plans.inference_files import (
    ChosenModels,
    inference_information,
    inference_instructions,
    is_ours,
    nnunet_identifier,
    postprocessing_pickle,
)

FULLRES, FLAT = Experiment("Dataset001_Tiny", "3d_fullres"), Experiment("Dataset001_Tiny", "2d")
CHOSEN = ChosenModels(
    members=(FLAT,),
    previous={},
    folds=(0, 1, 2),
    results={FLAT.name: 0.8, FULLRES.name: 0.7},
    mean_without_steps=0.8,
    mean=0.85,
    steps=((1, 2), (1,)),
    steps_pickle=Path("/results/Dataset001_Tiny/nnunet_assets/postprocessing.pkl"),
    plans_file=Path("/results/plans.json"),
)


@pytest.mark.parametrize("members", [(FLAT,), (FLAT, FULLRES)])
def test_the_instructions_are_those_that_nnunet_prints(
    members: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2.evaluation import find_best_configuration as nnunets

    class NoPlans:
        available_configurations = ()

        def __init__(self, *_: Any) -> None: ...

        def get_configuration(self, _: str) -> None: ...

    monkeypatch.setattr(nnunets, "PlansManager", NoPlans)
    monkeypatch.setattr(nnunets, "get_output_folder", lambda *_, **__: "")
    monkeypatch.setattr(nnunets, "default_num_processes", 8)
    chosen = replace(CHOSEN, members=members)
    nnunets.print_inference_instructions(inference_information(chosen))
    assert "\n" + inference_instructions(chosen) == capsys.readouterr().out


def test_the_information_has_what_nnunets_has() -> None:
    found = inference_information(CHOSEN)
    assert {*found} - {"made_by"} == {
        "folds",
        "dataset_name_or_id",
        "considered_models",
        "ensembling_allowed",
        "all_results",
        "best_model_or_ensemble",
    }
    assert found["best_model_or_ensemble"] == {
        "result_on_crossval_pre_pp": 0.8,
        "result_on_crossval_post_pp": 0.85,
        "postprocessing_file": str(CHOSEN.steps_pickle),
        "some_plans_file": "/results/plans.json",
        "selected_model_or_models": [
            {"configuration": "2d", "trainer": "nnUNetTrainer", "plans_identifier": "nnUNetPlans"}
        ],
    }


def test_without_steps_no_postprocessing_is_run() -> None:
    text = inference_instructions(replace(CHOSEN, steps=()))
    assert "nnUNetv2_apply_postprocessing" not in text
    assert text.endswith("No postprocessing: the masks stay as they are predicted.\n")


def test_a_cascade_has_the_command_of_the_stage_before() -> None:
    cascade = replace(
        CHOSEN,
        members=(Experiment("Dataset001_Tiny", "3d_cascade_fullres"),),
        previous={"3d_cascade_fullres": "3d_lowres"},
    )
    before, own = (line for line in inference_instructions(cascade).splitlines() if line.startswith("nnUNetv2_predict"))
    assert " -o OUTPUT_FOLDER_PREV_STAGE " in before
    assert " -c 3d_lowres " in before
    assert own.endswith("-prev_stage_predictions OUTPUT_FOLDER_PREV_STAGE")


def test_an_ensemble_is_named_as_nnunet_names_it() -> None:
    from nnunetv2.utilities.file_path_utilities import get_ensemble_name

    assert nnunet_identifier([FLAT, FULLRES], [0, 1, 2]) == get_ensemble_name(FLAT.name, FULLRES.name, (0, 1, 2))
    assert nnunet_identifier([FLAT], [0]) == FLAT.name


@pytest.mark.parametrize("steps", [(), ((1, 2),), ((1, 2), (2,), (1,))])
def test_the_pickle_is_what_nnunet_reads(steps: Any) -> None:
    functions: list[Callable[..., Any]]
    functions, arguments = pickle.loads(postprocessing_pickle(steps))
    assert [function.__module__ for function in functions] == [
        "nnunetv2.postprocessing.remove_connected_components"
    ] * len(steps)
    random = np.random.default_rng(2)
    mask = np.where(random.random((4, 6, 7)) < 0.3, random.integers(1, 3, (4, 6, 7)), 0)
    found = mask
    for function, named in zip(functions, arguments, strict=True):
        found = function(found, **named)
    assert np.array_equal(found, postprocessed(mask, steps))


def test_nnunets_own_file_is_told_from_one_of_this_package(tmp_path: Path) -> None:
    file = tmp_path / "inference_information.json"
    assert not is_ours(file)
    write_json_atomically(file, {"folds": [0]})
    assert not is_ours(file)
    write_json_atomically(file, inference_information(CHOSEN))
    assert is_ours(file)
    file.write_text("{")
    assert not is_ours(file)
