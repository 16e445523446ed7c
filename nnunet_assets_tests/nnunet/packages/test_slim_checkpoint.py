"""Checkpoints with nothing but what predicts, held against torch's own reader."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.packages.slim_checkpoint import check_slim_checkpoint, slim_bytes, write_slim_checkpoint
from nnunet_assets_tests.canaries import CANARIES
from nnunet_assets_tests.package_builders import CASE, EXPERIMENT, weights_of, write_checkpoint


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "full.pth", EXPERIMENT, 1.5)
    return tmp_path / "full.pth"


def test_it_holds_what_predicts_and_torch_reads_it_without_running_anything(source: Path, tmp_path: Path) -> None:
    import torch

    write_slim_checkpoint(source, tmp_path / "below/slim.pth")

    content = torch.load(tmp_path / "below/slim.pth", weights_only=True)
    weights = content.pop("network_weights")
    assert content == {
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "2d"},
        "inference_allowed_mirroring_axes": (0, 1),
    }
    wanted = weights_of(1.5)
    assert list(weights) == list(wanted)
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert weights["encoder.weight"].data_ptr() == weights["decoder.encoder.weight"].data_ptr()
    check_slim_checkpoint(tmp_path / "below/slim.pth", "nnUNetTrainer", "2d")


def test_nothing_of_the_training_is_in_any_byte(source: Path, tmp_path: Path) -> None:
    words = [word.encode() for word in (*CANARIES, CASE, "full", str(tmp_path), "optimizer", "logging")]
    assert any(word in source.read_bytes() for word in words[:4])
    write_slim_checkpoint(source, tmp_path / "slim.pth")
    content = (tmp_path / "slim.pth").read_bytes()
    assert [word for word in words if word in content] == []


def test_the_same_weights_make_the_same_bytes_and_a_slim_one_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    for name in ("a.pth", "longer_name.pth"):
        write_slim_checkpoint(source, tmp_path / name)
    write_slim_checkpoint(tmp_path / "a.pth", tmp_path / "again.pth")
    contents = {(tmp_path / name).read_bytes() for name in ("a.pth", "longer_name.pth", "again.pth")}
    assert len(contents) == 1


def test_a_part_of_a_large_tensor_leaves_the_rest_behind(tmp_path: Path) -> None:
    import torch

    large = torch.zeros(1_000_000)
    large[10] = 7
    state = {"part": large[8:12], "turned": torch.arange(6.0).reshape(2, 3).T}
    write_checkpoint(tmp_path / "full.pth", EXPERIMENT, 1, network_weights=state)
    write_slim_checkpoint(tmp_path / "full.pth", tmp_path / "slim.pth")
    assert (tmp_path / "slim.pth").stat().st_size < 10_000
    weights = torch.load(tmp_path / "slim.pth", weights_only=True)["network_weights"]
    assert all(torch.equal(weights[name], state[name]) for name in state)


def test_its_size_is_known_before(source: Path, tmp_path: Path) -> None:
    write_slim_checkpoint(source, tmp_path / "slim.pth")
    size = (tmp_path / "slim.pth").stat().st_size
    assert size <= slim_bytes(source) <= size + (1 << 20)


@pytest.mark.parametrize(
    "changes",
    [
        {"network_weights": ...},
        {"network_weights": {}},
        {"network_weights": 1},
        {"trainer_name": 3},
        {"init_args": {}},
        {"init_args": {"configuration": None}},
    ],
)
def test_what_is_no_checkpoint_of_nnunet_is_refused_and_nothing_written(tmp_path: Path, changes: Any) -> None:
    write_checkpoint(tmp_path / "full.pth", EXPERIMENT, 1, **changes)
    with pytest.raises(PackageError, match="is no checkpoint of nnU-Net v2"):
        slim_bytes(tmp_path / "full.pth")
    with pytest.raises(PackageError, match="is no checkpoint of nnU-Net v2"):
        _write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["full.pth"]


class _Runs:
    def __reduce__(self) -> Any:
        return (print, ("it ran",))


def _write(folder: Path) -> None:
    write_slim_checkpoint(folder / "full.pth", folder / "slim.pth")


def test_code_in_it_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path / "full.pth", EXPERIMENT, 1, logging=_Runs())
    with pytest.raises(PackageError, match=r"Nothing in it was run"):
        _write(tmp_path)
    (tmp_path / "full.pth").write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(PackageError, match=r"cannot be read as the weights"):
        _write(tmp_path)
    assert capsys.readouterr().out == ""


SLIM: dict[str, Any] = {
    "optimizer_state": ...,
    "logging": ...,
    "_best_ema": ...,
    "current_epoch": ...,
    "init_args": {"configuration": "2d"},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer_state": {}}, "'optimizer_state' is missing or too much"),
        ({"inference_allowed_mirroring_axes": ...}, "'inference_allowed_mirroring_axes' is missing or too much"),
        ({"init_args": {"configuration": "2d", "dataset_json": {}}}, "and model.json says"),
        ({"init_args": {"configuration": "3d_fullres"}}, "and model.json says"),
        ({"trainer_name": "nnUNetTrainerOther"}, "was made by trainer 'nnUNetTrainerOther'"),
        ({"inference_allowed_mirroring_axes": (0, 3)}, r"mirrored along axes \(0, 3\)"),
        ({"inference_allowed_mirroring_axes": "all"}, "mirrored along axes 'all'"),
        ({"network_weights": {"a": "text"}}, "more than tensors"),
    ],
)
def test_what_a_package_does_not_hold_is_refused(tmp_path: Path, changes: Any, said: str) -> None:
    write_checkpoint(tmp_path / "c.pth", EXPERIMENT, 1, **{**SLIM, **changes})
    with pytest.raises(PackageError, match=said):
        check_slim_checkpoint(tmp_path / "c.pth", "nnUNetTrainer", "2d")


def test_a_network_that_is_not_mirrored_is_as_good(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "full.pth", EXPERIMENT, 1, inference_allowed_mirroring_axes=None)
    _write(tmp_path)
    check_slim_checkpoint(tmp_path / "slim.pth", "nnUNetTrainer", "2d")
