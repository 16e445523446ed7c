"""Checkpoints that unpack to gigabytes are refused before they do, and those of nnU-Net are read."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.nnunet.checkpoints import checkpoint_limits
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import refuse_oversized
from nnunet_assets.nnunet.checkpoints.pretrained import _copies, load_without_code, read_weights
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets_tests.bombs import ARCHIVES, PICKLES, sparse_weights, write_bombs
from nnunet_assets_tests.late_imports import Late

torch = Late("torch")

THOUSANDTHS = 10


def test_every_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_limits, "MOST_MADE_BYTES", (250 << 20) * THOUSANDTHS // 1000)
    monkeypatch.setattr(checkpoint_limits, "MOST_PICKLE_BYTES", (64 << 20) * THOUSANDTHS // 1000)
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("torch began to read it"))
    passed, n = [], 0
    for name, file in write_bombs(tmp_path, THOUSANDTHS):
        n += 1
        try:
            load_without_code(file)
        except (RuntimeError, pickle.UnpicklingError):
            continue
        passed.append(name)
    assert passed == []
    assert n == len(ARCHIVES) + 2 * len(PICKLES) + 1


def test_what_is_refused_is_said_with_its_size(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_final.pth"
    file.write_bytes(ARCHIVES["compressed pickle"]())
    with pytest.raises(ChildFailure, match=r"damaged, or no checkpoint: archive/data\.pkl in it is compressed, from 3"):
        read_weights(file)


MEASURE = """
import sys
from pathlib import Path
import torch
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code
from nnunet_assets_tests.bombs import write_bombs

def peak_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

before, folder = peak_mb(), Path(sys.argv[1])
for name, file in write_bombs(folder):
    open("/proc/self/clear_refs", "w").write("5")
    start = peak_mb()
    try:
        load_without_code(file)
        print(f"{name}: was read")
    except Exception:
        if peak_mb() - start > 500:
            print(f"{name}: {peak_mb() - start:.0f} MB")
"""


@pytest.mark.faults
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured in /proc")
def test_no_bomb_takes_half_a_gigabyte_before_it_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_weights_that_claim_more_than_is_stored_are_refused(tmp_path: Path) -> None:
    torch.save({"network_weights": sparse_weights(torch)}, tmp_path / "weights.pth")
    with pytest.raises(ChildFailure, match="hold more than weights"):
        read_weights(tmp_path / "weights.pth")


def test_of_weights_only_what_the_network_has_is_copied_and_each_apart(tmp_path: Path) -> None:
    whole = torch.arange(1_000_000.0)
    wide = torch.zeros(1).expand(1 << 40)
    torch.save({"network_weights": {"w": whole[:6].view(2, 3), "x.seg_layers.0": wide, "extra": wide}}, tmp_path / "w")
    weights = read_weights(tmp_path / "w")
    copies = _copies({"w": torch.zeros(2, 3), "x.seg_layers.0": torch.zeros(4), "missing": whole}, weights)
    assert list(copies) == ["w"]
    assert copies["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert copies["w"].untyped_storage().nbytes() == 6 * 4


# --- what torch writes ----------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.floats(allow_nan=False).map(np.float64)
    | st.integers(0, 100).map(np.int64)
    | st.sampled_from([(), {1, 2}])
    | st.deferred(lambda: st.sampled_from([torch.device("cpu"), torch.float32, torch.float16])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=30,
)


@settings(max_examples=40)
@given(VALUES, st.booleans(), st.sampled_from(["float32", "float16", "int64", "bool", "bfloat16"]))
def test_what_torch_wrote_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: Any, is_zip: Any, dtype_name: str
) -> None:
    dtype = getattr(torch, dtype_name)
    file = tmp_path_factory.mktemp("checkpoints") / "checkpoint_final.pth"
    tensor = torch.nn.Parameter(torch.zeros(2, 3).to(dtype), requires_grad=dtype.is_floating_point)
    torch.save({"x": content, "w": tensor}, file, _use_new_zipfile_serialization=is_zip)
    found = load_without_code(file)
    assert found["x"] == content
    assert torch.equal(found["w"], tensor)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_as_nnunet_writes_it_is_far_from_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_zip: bool
) -> None:
    """A thousand epochs with twenty labels, and an optimizer's state."""
    network = torch.nn.Sequential(*(torch.nn.Conv3d(4, 4, 3) for _ in range(60)))
    momentum = {number: {"momentum_buffer": torch.zeros(4)} for number, _ in enumerate(network.parameters())}
    series = {name: [float(epoch) for epoch in range(1000)] for name in "abcdefgh"}
    by_label = [[np.float64(label / (epoch + 1)) for label in range(20)] for epoch in range(1000)]
    content = {
        "network_weights": network.state_dict(),
        "optimizer_state": {"state": momentum, "param_groups": [{"lr": 0.01, "params": list(momentum)}]},
        "grad_scaler_state": None,
        "logging": {**series, "dice_per_class_or_region": by_label},
        "_best_ema": np.float64(0.9),
        "current_epoch": 1000,
        "init_args": {"plans": {"patch_size": [8] * 3}, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    file = tmp_path / "checkpoint_final.pth"
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    monkeypatch.setattr(checkpoint_limits, "MOST_MADE_BYTES", 50 << 20)
    refuse_oversized(file)
    assert load_without_code(file)["current_epoch"] == 1000
