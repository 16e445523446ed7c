"""What the bare process of a round trip asks of a GPU; the whole of it is in `test_registered_for_real`."""

import pytest

from nnunet_assets.tracking.registry.round_trip import compute_repeatably


def test_a_predictor_that_the_version_makes_computes_as_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from torch.backends import cudnn

    monkeypatch.setattr(nnUNetPredictor, "__init__", nnUNetPredictor.__init__)  # given back in the end
    before = cudnn.benchmark, cudnn.deterministic
    try:
        made = nnUNetPredictor(device=torch.device("cuda"), allow_tqdm=False)
        assert cudnn.benchmark  # what nnU-Net asks for, and what is to be taken back
        compute_repeatably()
        again = nnUNetPredictor(device=torch.device("cuda"), allow_tqdm=False)
        assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
        assert vars(again) == vars(made)
    finally:
        cudnn.benchmark, cudnn.deterministic = before
