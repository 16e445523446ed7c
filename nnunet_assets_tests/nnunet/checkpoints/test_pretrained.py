"""Weights and checkpoints from elsewhere: what they carry is never run, and what they are is said."""

import builtins
import functools
import io
import os
import pickle
import runpy
import subprocess
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.nnunet.checkpoints import pretrained
from nnunet_assets.nnunet.checkpoints.checkpoints import BEST, FINAL, LATEST, newest_checkpoint, set_odd_best_aside
from nnunet_assets.nnunet.checkpoints.pretrained import read_weights
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.late_imports import Late
from nnunet_assets_tests.recorded_progress import RecordedProgress

torch = Late("torch")

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")


class Calls:
    """Unpickled, it is what a call returns."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class State:
    """Unpickled, its state is set by a call."""

    inner: Any

    def __reduce__(self) -> Any:
        return (dict, (), None, None, iter([("key", self.inner)]))


def touching(marker: Any) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def nested(marker: Any) -> Any:
    state = State()
    state.inner = Calls(exec, touching(marker))
    return {"network_weights": {"a": torch.zeros(2), "b": [{"c": state}]}}


def object_array(marker: Any) -> Any:
    array = np.empty(1, dtype=object)
    array[0] = Calls(exec, touching(marker))
    return {"network_weights": {"a": array}}


def script(marker: Any) -> Any:
    file = marker.with_name("script.py")
    file.write_text(touching(marker))
    return str(file)


OBJECTS = {
    "os.system": lambda marker: Calls(os.system, f"touch '{marker}'"),
    "builtins.exec": lambda marker: Calls(builtins.exec, touching(marker)),
    "builtins.eval": lambda marker: Calls(builtins.eval, touching(marker)),
    "subprocess": lambda marker: Calls(subprocess.check_call, ["touch", str(marker)]),
    "runpy": lambda marker: Calls(runpy.run_path, script(marker)),
    "partial": lambda marker: Calls(functools.partial(os.system, f"touch '{marker}'")),
    "nested": nested,
    "object array": object_array,
}


def write_zip(file: Any, content: Any) -> None:
    torch.save(content, file)


def write_legacy(file: Any, content: Any) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def write_protocol_4(file: Any, content: Any) -> None:
    torch.save(content, file, pickle_protocol=4)


def write_plain_pickle(file: Any, content: Any) -> None:
    file.write_bytes(pickle.dumps(content))


def write_tar(file: Any, content: Any) -> None:
    with tarfile.open(file, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            inner = pickle.dumps(content if name == "pickle" else 0, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(inner)
            archive.addfile(info, io.BytesIO(inner))


def write_two_pickles(file: Any, content: Any) -> None:
    """In one archive, and of one name; zipfile takes the second."""
    torch.save(content, file)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"{file.stem}/data.pkl", pickle.dumps({"network_weights": {}}, protocol=2))


FORMS = [write_legacy, write_protocol_4, write_plain_pickle, write_tar, write_two_pickles]
PAYLOADS = [
    *((write_zip, name) for name in OBJECTS),
    *((write, "builtins.exec") for write in FORMS),
]


@pytest.fixture(params=PAYLOADS, ids=lambda payload: f"{payload[0].__name__}, {payload[1]}")
def payload(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A file that makes another one where it is loaded as any pickle; returns both."""
    write, name = request.param
    file, marker = tmp_path / FINAL, tmp_path / "it_ran"
    write(file, {"network_weights": OBJECTS[name](marker)})
    return file, marker


def is_live(file: Any, marker: Any) -> Any:
    with suppress(Exception):  # of what comes after the payload
        torch.load(file, weights_only=False)
    if not marker.exists():  # torch itself reads no such file any more
        content = file.read_bytes()
        pickle.loads(content[content.rindex(b"\x80\x02") :])
    return marker.exists()


def test_weights_that_carry_code_are_refused_and_it_does_not_run(payload: Any) -> None:
    file, marker = payload
    with pytest.raises(ChildFailure, match=rf"^The pretrained weights {file} ") as caught:
        read_weights(file)
    assert caught.value.code == ExitCode.BAD_INPUT
    assert not marker.exists()
    assert is_live(file, marker)


@pytest.mark.parametrize("name", [LATEST, FINAL, BEST])
def test_a_checkpoint_that_somebody_put_into_a_fold_is_never_loaded(payload: Any, name: Any) -> None:
    file, marker = payload
    (file.parent / OWN_FOLDER).mkdir()
    file.rename(file.with_name(name))
    said: list[str] = []
    with suppress(ChildFailure):  # one that is a whole zip file
        assert newest_checkpoint(file.parent, RecordedProgress(said.append)) is None
        assert f"{name} is damaged" in said[0]
    set_odd_best_aside(file.parent, RecordedProgress(said.append))
    assert not marker.exists()


# --- what is no checkpoint at all ---------------------------------------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 250\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (POINTER, r"Git LFS pointer, not the file itself; run `git lfs pull`"),
        (b"\n <!DOCTYPE html><html>404</html>", "is a web page"),
        (b"notes of a radiologist\n", "begins with b'notes of'"),
        (b"", "is empty"),
        (bytes(range(200, 256)) * 9, "begins with"),
        (b"\x80\x02garbage" * 9, ""),
        (b"\x80" + bytes(range(256)), ""),
        (b"PK\x03\x04 and no more", ""),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none_and_nobody_is_told_to_trust_it(
    tmp_path: Path, content: Any, what: str
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(ChildFailure, match=rf"are damaged, or no checkpoint: .*{what}") as caught:
        read_weights(file)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [[1], {"state_dict": {}}, {"network_weights": {"a": 1.0}}, {"network_weights": 3}])
def test_a_file_without_tensors_is_no_checkpoint_of_nnunet(tmp_path: Path, content: list[int] | dict[str, Any]) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ChildFailure, match="is no checkpoint of nnU-Net: it has no tensors as 'network_weights'"):
        read_weights(tmp_path / "weights.pth")


def test_weights_of_another_architecture_are_refused_with_the_first_five_differences() -> None:
    network = {f"{layer}.weight": torch.ones(2, 3) for layer in "abcdefg"} | {"x.seg_layers.0": torch.ones(4)}
    theirs = {f"{layer}.weight": torch.ones(1, 3) for layer in "bcdefg"}
    with pytest.raises(ChildFailure) as caught:
        pretrained._check_fit(network, theirs, Path("weights.pth"))
    assert caught.value.code == ExitCode.BAD_INPUT
    assert str(caught.value).startswith(
        "The pretrained weights weights.pth belong to another architecture: a.weight is missing in the file, "
        "b.weight is (1, 3) there and (2, 3) here, c.weight is"
    )
    assert "e.weight is (1, 3) there and (2, 3) here and 2 more. Pretrain with the same plans" in str(caught.value)
    pretrained._check_fit(network, network, Path("weights.pth"))


@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_with_nnunets_numbers_beside_them_are_read(tmp_path: Path, is_zip: bool) -> None:
    content = {"network_weights": {"a": torch.ones(2)}, "_best_ema": np.float64(0.5), "logging": {"x": [np.float32(1)]}}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=is_zip)
    assert torch.equal(read_weights(tmp_path / "weights.pth")["a"], torch.ones(2))
