"""Which steps are taken, against nnU-Net's own `determine_postprocessing`: the same where its decision is right."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.step_scores import case_step_scores, step_plan
from nnunet_assets.core.selection.postprocessing import PostprocessedScores
from nnunet_assets_tests.raw_builders import tiny_json, write_json, write_volume

LABELS = {"background": 0, "organ": 1, "lesion": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
N_CASES = 8
Pair = tuple[np.ndarray, np.ndarray]


def pair(*changes: tuple[int, int]) -> Pair:
    """Returns an organ with a lesion in it, and the same with voxels of a value along a line beside it."""
    reference = np.zeros((14, 6, 6), np.uint8)
    reference[1:5, 1:5, 1:5] = 1
    reference[2:4, 2:4, 2:4] = 2
    prediction = reference.copy()
    for place, value in changes:
        prediction[place, 2, 2] = value
    return reference, prediction


def of_nnunet(
    folder: Path, pairs: Sequence[Pair], description: dict[str, Any], monkeypatch: Any
) -> set[frozenset[int]]:
    """Returns the steps that nnU-Net takes, in threads: its processes would import torch once more each."""
    from nnunetv2.postprocessing.remove_connected_components import determine_postprocessing

    monkeypatch.setattr(multiprocessing, "get_context", lambda _: SimpleNamespace(Pool=ThreadPool))
    for k, (reference, prediction) in enumerate(pairs):
        write_volume(folder / "reference" / f"c{k}.nii.gz", reference)
        write_volume(folder / "prediction" / f"c{k}.nii.gz", prediction)
    _, arguments = determine_postprocessing(
        str(folder / "prediction"),
        str(folder / "reference"),
        {"image_reader_writer": "NibabelIO", "dataset_name": "Dataset001_Tiny", "plans_name": "nnUNetPlans"},
        description,
        num_processes=1,
    )
    wanted = [one["labels_or_regions"] for one in arguments]
    return {frozenset(one if isinstance(one, list | tuple) else [one]) for one in wanted}


def of_ours(folder: Path, pairs: Sequence[Pair], description: dict[str, Any]) -> set[frozenset[int]]:
    plan = step_plan(parse_dataset_json(write_json(folder / "dataset.json", description)))
    cases = [case_step_scores(*one, plan) for one in pairs]
    found = PostprocessedScores.of(plan, cases, np.arange(len(cases)), list(plan.labels))
    return {frozenset(step) for step in found.steps(int(found.taken(np.ones((1, len(cases))))[0]))}


def described(labels: dict[str, Any]) -> dict[str, Any]:
    order = {"regions_class_order": [1, 2]} if any(isinstance(one, list) for one in labels.values()) else {}
    return tiny_json(N_CASES, labels=labels, **order)


@pytest.mark.parametrize(
    ("labels", "pairs", "expected"),
    [
        # A false island of the organ in every case.
        (LABELS, [pair((8, 1), (9 + k % 2, 1)) for k in range(N_CASES)], {frozenset({1, 2})}),
        # A false lesion beside the organ, touching it: only its own step tells it.
        (LABELS, [pair((5, 2)) for _ in range(N_CASES)], {frozenset({2})}),
        # Nothing is wrong anywhere.
        (LABELS, [pair() for _ in range(N_CASES)], set()),
        (REGIONS, [pair((8, 2)) for _ in range(N_CASES)], {frozenset({1, 2})}),
    ],
)
def test_it_is_the_same_where_nnunet_is_right(
    labels: Any, pairs: Any, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = described(labels)
    assert of_ours(tmp_path, pairs, description) == expected
    assert of_nnunet(tmp_path, pairs, description, monkeypatch) == expected


def hole() -> Pair:
    """Returns a false island of the core, in the whole."""
    reference, _ = pair()
    reference[5:9, 1:5, 1:5] = 1
    prediction = reference.copy()
    prediction[7, 2, 2] = 2
    return reference, prediction


def half() -> list[Pair]:
    """Returns cases of which a step helps half, and harms the other half a little less."""
    helped = pair((8, 1), (9, 1), (10, 1))
    there, drawn = pair((8, 1), (9, 1))[1], pair((8, 1), (9, 1))[1]
    return [helped] * 4 + [(there, drawn)] * 4


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # nnU-Net's, of the label that is nowhere
@pytest.mark.parametrize(
    ("labels", "pairs", "nnunets"),
    [
        (REGIONS, [hole() for _ in range(N_CASES)], {frozenset({2})}),
        (LABELS, half(), {frozenset({1, 2})}),
        # A label that is in no case: the first step is never taken, though it helps.
        ({**LABELS, "never": 3}, [pair((8, 1), (8, 2)) for _ in range(N_CASES)], set()),
    ],
)
def test_it_is_another_where_nnunet_harms_or_is_blind(
    labels: Any, pairs: Any, nnunets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = described(labels)
    ours = of_ours(tmp_path, pairs, description)
    found = of_nnunet(tmp_path, pairs, description, monkeypatch)
    if nnunets:
        assert (found, ours) == (nnunets, set())
    else:
        assert frozenset({1, 2, 3}) in ours
        assert frozenset({1, 2, 3}) not in found
