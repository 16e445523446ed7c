"""What a checkpoint holds without torch, held against what torch reads in it."""

import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.checkpoints import checkpoint_content
from nnunet_assets.nnunet.checkpoints.checkpoint_content import TensorForm, read_checkpoint_content, storages_in
from nnunet_assets_tests.bombs import ARCHIVES
from nnunet_assets_tests.package_builders import EXPERIMENT, write_checkpoint


def saved(file: Path, content: Any) -> Path:
    import torch

    torch.save(content, file)
    return file


def test_words_and_numbers_are_those_of_the_checkpoint_and_tensors_have_their_form(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c.pth", EXPERIMENT, 1.0)
    content = read_checkpoint_content(tmp_path / "c.pth")
    assert content["trainer_name"] == "nnUNetTrainer"
    assert content["init_args"]["configuration"] == "2d"
    assert content["inference_allowed_mirroring_axes"] == (0, 1)
    assert content["current_epoch"] == 3
    shapes = {name: tensor.shape for name, tensor in content["network_weights"].items()}
    assert shapes == {"encoder.weight": (4, 1, 3, 3), "encoder.bias": (4,), "decoder.encoder.weight": (4, 1, 3, 3)}
    storages = storages_in(content["network_weights"])
    assert sorted(storage.n_bytes for storage in storages.values()) == [4 * 4, 4 * 36]  # float32; one is there twice


def test_every_kind_of_tensor_is_told_as_torch_tells_it(tmp_path: Path) -> None:
    import torch

    whole = torch.arange(24.0).reshape(2, 3, 4)
    kinds = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32]
    tensors = {
        **{str(kind): torch.ones(5, dtype=kind) for kind in (*kinds, torch.int64, torch.bool, torch.complex64)},
        "part": whole[1, 1:],
        "turned": whole.permute(2, 0, 1),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3.0),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "expanded": torch.ones(1).expand(1000),
    }
    state = torch.nn.BatchNorm3d(3).state_dict()
    assert isinstance(state, OrderedDict)
    content = read_checkpoint_content(saved(tmp_path / "c.pth", {"tensors": tensors, "state": state}))
    for found, wanted in ((content["tensors"], tensors), (content["state"], state)):
        assert {name: one.shape for name, one in found.items()} == {name: tuple(t.shape) for name, t in wanted.items()}
    sizes = {name: one.storage.n_bytes for name, one in content["tensors"].items()}
    assert sizes == {name: tensor.untyped_storage().nbytes() for name, tensor in tensors.items()}


def test_what_is_no_tensor_is_not_made_and_what_holds_itself_ends(tmp_path: Path) -> None:
    itself: list[Any] = [np.float64(0.5)]
    itself.append(itself)
    content = read_checkpoint_content(saved(tmp_path / "c.pth", itself))
    assert not isinstance(content[0], float | np.floating | TensorForm)
    assert storages_in(content) == {}


def test_torch_is_not_imported(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c.pth", EXPERIMENT, 1.0)
    code = (
        "import sys; from pathlib import Path\n"
        "from nnunet_assets.nnunet.packages.slim_checkpoint import slim_bytes\n"
        "slim_bytes(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "c.pth"], check=False).returncode == 0


class _Runs:
    def __reduce__(self) -> Any:
        return (print, ("it ran",))


def test_code_is_neither_run_nor_looked_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL __builtin__\.print"):
        read_checkpoint_content(saved(tmp_path / "c.pth", {"network_weights": _Runs()}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bomb", ["compressed pickle", "over each other", "larger than it is"])
def test_no_bomb_is_read(tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_content, "_Unpickler", lambda *_: pytest.fail("it began to be read"))
    (tmp_path / "c.pth").write_bytes(ARCHIVES[bomb]())
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        read_checkpoint_content(tmp_path / "c.pth")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02}.", b"PK\x03\x04 and no more", b"<html>"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(RuntimeError):
        read_checkpoint_content(tmp_path / "c.pth")


def _cut(content: bytes) -> bytes:
    return content[:-30]


def _longer(content: bytes) -> bytes:
    # The number of values of a tensor, 36, as the pickle has it before that it says how many there are.
    return content.replace(b"K$", b"K%")


@pytest.mark.parametrize("damage", [_cut, _longer])
def test_values_that_are_not_in_the_file_are_missed(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "c.pth"
    write_checkpoint(file, EXPERIMENT, 1.0)
    content = file.read_bytes()
    assert damage(content) != content
    file.write_bytes(damage(content))
    with pytest.raises(RuntimeError):
        read_checkpoint_content(file)
