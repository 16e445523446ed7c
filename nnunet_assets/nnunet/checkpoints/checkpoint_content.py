"""What a checkpoint holds, read without torch and without running anything of it: names, numbers, the form of tensors.

Importing torch takes many seconds, and a checkpoint from elsewhere may name any code. Here each class and function that
a pickle names is a stand-in of this file's own, and a tensor is what the pickle says of it; its bytes stay on the disk.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import checked_pickle

ITEM_BYTES = {
    **dict.fromkeys(("BoolStorage", "ByteStorage", "CharStorage"), 1),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
}
"""Of the kinds of numbers that weights have."""


@dataclass(frozen=True)
class Storage:
    """The bytes of one tensor, or of several that share them.

    Attributes:
        key: Name of the entry in the archive, in its folder `data`.
        n_values: How many the pickle says that it has.
        n_bytes: What these take.
    """

    key: str
    n_values: int
    n_bytes: int


@dataclass(frozen=True)
class TensorForm:
    """A tensor without its values.

    Attributes:
        storage: Its bytes.
        shape: Length by axis.
        end: How many values of the storage lie before its last one, that one included.
    """

    storage: Storage
    shape: tuple[int, ...]
    end: int


@dataclass(frozen=True)
class OtherThing:
    """Anything else that a pickle makes by calling something.

    Attributes:
        of: What it calls.
    """

    of: str

    def __setstate__(self, state: Any) -> None:
        """Takes what the pickle would put into the object, and forgets it."""


class _Mapping(dict[Any, Any]):
    """Stands for `OrderedDict`, which may have attributes."""


def read_checkpoint_content(file: Path) -> Any:
    """Returns what a checkpoint holds, a `TensorForm` in place of each tensor.

    Raises:
        CheckpointTooLargeError: Reading it would take more memory than its size justifies.
        pickle.UnpicklingError: It names what no checkpoint of weights needs.
        RuntimeError: It is damaged, of the form that torch wrote before 1.6, or no checkpoint.
        OSError: It is not there, or cannot be read.
    """
    with open_regular(file) as opened:
        start = opened.read(4)
    if start != b"PK\x03\x04":
        raise RuntimeError(f"it begins with {start!r}, and a checkpoint of torch 1.6 or later with b'PK\\x03\\x04'")
    try:
        content = _Unpickler(io.BytesIO(checked_pickle(file))).load()
        _check_storages(file, content)
    except (pickle.UnpicklingError, OSError, RuntimeError):
        raise
    except Exception as error:
        # Bytes that only look like a pickle make it raise nearly anything.
        raise RuntimeError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
    return content


def weights_bytes(file: Path) -> int | None:
    """Returns what the weights of a checkpoint take; None: it cannot be read.

    The file itself grows with the log of a training: of two networks alike that of fewer epochs has the smaller one.
    """
    try:
        content = read_checkpoint_content(file)
    except (OSError, RuntimeError, pickle.UnpicklingError, NnunetAssetsError):
        return None
    weights = content.get("network_weights") if isinstance(content, Mapping) else None
    return sum(storage.n_bytes for storage in storages_in(weights).values()) or None


def storages_in(value: Any) -> dict[str, Storage]:
    """Returns the storages of all tensors in a part of a checkpoint, by key."""
    return {tensor.storage.key: tensor.storage for tensor in tensors_in(value)}


def tensors_in(value: Any) -> Iterable[TensorForm]:
    """Yields every tensor in a part of a checkpoint."""
    # A pickle may make a list hold itself.
    seen: set[int] = set()
    left = [value]  # no recursion: how deep it is, whoever made the file decides
    while left:
        one = left.pop()
        if isinstance(one, TensorForm):
            yield one
        elif isinstance(one, Mapping | list | tuple | set) and id(one) not in seen:
            seen.add(id(one))
            left += [*one.keys(), *one.values()] if isinstance(one, Mapping) else list(one)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Returns a stand-in: nothing is imported."""
        return _STAND_INS.get(name) or _Named(name if name.endswith("Storage") else f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        """Returns a storage by what torch writes of it: its kind, key, device and number of values."""
        _, kind, key, _, n_values = pid
        name = kind.of if isinstance(kind, _Named) else str(kind)
        if name not in ITEM_BYTES or not isinstance(key, str) or not isinstance(n_values, int) or n_values < 0:
            raise RuntimeError(f"it holds values of the kind {name!r}, which no weights have")
        return Storage(key, n_values, n_values * ITEM_BYTES[name])


@dataclass(frozen=True)
class _Named:
    """What a pickle names, to be called."""

    of: str

    def __call__(self, *_: Any) -> OtherThing:
        return OtherThing(self.of)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorForm:
    """Stands for `torch._utils._rebuild_tensor_v2`."""
    numbers = [offset, *shape, *stride]
    if not isinstance(storage, Storage) or len(shape) != len(stride):
        raise RuntimeError("it has a tensor without values")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise RuntimeError("it has a tensor of an impossible shape")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    return TensorForm(storage, tuple(shape), last + 1 if math.prod(shape) else 0)


def _parameter(data: Any, *_: Any) -> Any:
    """Stands for `torch._utils._rebuild_parameter`."""
    return data


_STAND_INS: dict[str, Callable[..., Any]] = {
    "OrderedDict": _Mapping,
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_parameter": _parameter,
    "Size": tuple,
    "set": set,
}


def _check_storages(file: Path, content: Any) -> None:
    """Refuses tensors whose bytes are not in the archive, or not enough of them."""
    with zipfile.ZipFile(file) as archive:
        sizes = {
            entry.filename.partition("/data/")[2]: entry.file_size
            for entry in archive.infolist()
            if "/data/" in entry.filename
        }
    for tensor in tensors_in(content):
        storage = tensor.storage
        if sizes.get(storage.key) != storage.n_bytes or tensor.end > storage.n_values:
            raise RuntimeError(f"the values of a tensor are not in it as it says (data/{storage.key})")
