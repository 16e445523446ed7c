"""The process that predicts, in this one; what it predicts is in the tests of its callers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets.nnunet.predictions.prediction_process import predict_cases
from nnunet_assets.nnunet.predictions.prediction_request import PredictionFlags, PredictionRequest


@pytest.fixture(autouse=True)
def _own_flags() -> Iterator[None]:
    from torch.backends import cudnn

    before = cudnn.benchmark, cudnn.deterministic
    yield
    cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_gpu_takes_the_algorithms_of_every_process_where_that_is_asked_for(
    tmp_path: Path, *, is_repeatable: bool
) -> None:
    from torch.backends import cudnn

    cudnn.benchmark, cudnn.deterministic = True, False
    predict_cases(PredictionRequest((), (), PredictionFlags(), "cpu", tmp_path, (), is_repeatable=is_repeatable))
    assert (cudnn.benchmark, cudnn.deterministic) == (not is_repeatable, is_repeatable)
