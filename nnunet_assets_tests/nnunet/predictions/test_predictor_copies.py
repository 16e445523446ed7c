"""nnU-Net's own predictor with two small folds, alone and by copies at once."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.nnunet.predictions.predictor_copies import PredictorCopies, predict_at_once

PATCH = (8, 8, 6)


def predictor_of(n_folds: int = 2) -> Any:
    """Returns a predictor with random weights, made as `manual_initialization` makes one."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    def network() -> Any:
        layers = torch.nn.Conv3d(1, 16, 3, padding=1), torch.nn.InstanceNorm3d(16), torch.nn.Conv3d(16, 3, 3, padding=1)
        return torch.nn.Sequential(*layers)

    torch.manual_seed(0)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.network = network()
    predictor.list_of_parameters = [network().state_dict() for _ in range(n_folds)]
    predictor.configuration_manager = SimpleNamespace(patch_size=PATCH)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=3)
    predictor.allowed_mirroring_axes = (0, 1, 2)
    return predictor


def test_the_logits_of_cases_at_once_are_those_of_one_after_the_other_bit_by_bit() -> None:
    import torch

    images = [torch.randn(1, 9 + number % 3, 8, 6 + number % 2) for number in range(12)]
    alone = PredictorCopies(predictor_of())
    expected = [alone.logits(image) for image in images]
    assert len({logits.tobytes() for logits in expected}) == len(images)

    copies = PredictorCopies(predictor_of())
    assert predict_at_once([copies], 3) == 3
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(copies.logits, images))
    assert [logits.tobytes() for logits in found] == [logits.tobytes() for logits in expected]


def test_a_predictor_that_fails_takes_the_next_case() -> None:
    import torch

    copies = PredictorCopies(predictor_of())
    with pytest.raises(AssertionError):
        copies.logits(torch.zeros(6, 6))
    assert copies.logits(torch.zeros(1, *PATCH)).shape == (3, *PATCH)


@pytest.mark.parametrize(
    ("device", "patch", "is_compiled", "n_at_once"),
    [
        ("cpu", (64, 64, 64), False, 3),
        ("cpu", (512, 512), False, 3),
        ("cpu", (64, 64, 65), False, 1),
        ("cpu", (64, 64, 64), True, 1),
        ("cuda", (16, 16, 16), False, 1),
        ("mps", (16, 16, 16), False, 1),
    ],
)
def test_a_gpu_a_large_patch_and_a_compiled_network_have_one_case_at_a_time(
    device: str, patch: tuple[int, ...], n_at_once: int, *, is_compiled: bool
) -> None:
    def copies(patch: tuple[int, ...]) -> PredictorCopies:
        network = SimpleNamespace(_orig_mod=None) if is_compiled else SimpleNamespace()
        manager = SimpleNamespace(patch_size=patch)
        of_device = SimpleNamespace(type=device)
        return PredictorCopies(SimpleNamespace(network=network, configuration_manager=manager, device=of_device))

    assert predict_at_once([copies(patch), copies((16, 16))], 3) == n_at_once
