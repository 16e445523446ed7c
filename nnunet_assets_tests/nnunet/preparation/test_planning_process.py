"""What the planning process makes of nnU-Net's fingerprint extraction, without a case."""

from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.preparation.planning_process import _extract_fingerprint
from nnunet_assets.processes.child import ChildFailure


def pool_of(monkeypatch: pytest.MonkeyPatch, n_processes: int) -> Any:
    """Extracts a fingerprint with so many processes, and returns what nnU-Net would have taken them from."""
    from nnunetv2 import configuration
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    asked: list[Any] = []
    monkeypatch.setattr(fingerprint_extractor, "multiprocessing", fingerprint_extractor.multiprocessing)
    monkeypatch.setattr(configuration, "default_num_processes", n_processes)
    monkeypatch.setattr(api, "extract_fingerprints", lambda *given, **more: asked.append((given, more)))
    _extract_fingerprint(7)
    assert asked == [(([7],), {"num_processes": n_processes, "clean": True, "show_progress_bar": False})]
    return fingerprint_extractor.multiprocessing.get_context("spawn").Pool


def test_a_single_process_is_a_thread_and_several_are_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_of(monkeypatch, 2) is not ThreadPool
    assert pool_of(monkeypatch, 1) is ThreadPool


def test_of_a_dataset_whose_labels_are_cropped_away_it_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    # What `DatasetFingerprintExtractor.run` does then.
    monkeypatch.setattr(api, "extract_fingerprints", lambda *_, **__: np.percentile(np.array([]), [0.5, 50.0]))
    with pytest.raises(ChildFailure, match=r"no voxel of a label is left then.*nnunet-assets check"):
        _extract_fingerprint(1)
