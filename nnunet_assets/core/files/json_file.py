"""JSON files: written whole, and read within bounds.

A file from elsewhere must neither fill the memory nor end in a traceback.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.errors import DamagedFileError, NnunetAssetsError

MOST_BYTES = 256 << 20
"""The largest that anybody needs here, nnU-Net's summary.json of 5,000 cases with 117 labels, has 120 MB."""

MOST_CONTAINERS = 16_000_000
"""An empty list of two bytes takes seventy; so many, lists and objects, take less than two gigabytes."""


OTHER_FORM = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What Python raises where JSON has another form than was meant: a name is missing, a list stands for an object, a
text for a number. Whoever reads what is not its own expects them all: which one comes hangs on what lies there."""

UNREADABLE = (OSError, *OTHER_FORM)
"""The same, where the file may be missing, too."""

UNUSABLE = (NnunetAssetsError, *UNREADABLE)
"""The same, where what is read is checked, too."""


class JsonError(ValueError):
    """A file holds no JSON, or more of it than is read."""


def load_json(path: Path, **options: Any) -> Any:
    """Returns what a JSON file holds.

    Args:
        path: The file.
        options: As `json.loads`.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: As `parse_json`, or `read_json_bytes`.
    """
    return parse_json(read_json_bytes(path), **options)


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns the JSON object that this package or nnU-Net wrote into a file; None where there is no file.

    Raises:
        OSError: It cannot be read.
        DamagedFileError: It holds something else.
    """
    try:
        content = load_json(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamagedFileError(
            f"{path} is not valid JSON ({error}). Restore it, or delete it to have it made again."
        ) from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} holds no JSON object. Restore it, or delete it to have it made again.")
    return content


def load_materialized(path: Path, asset: str, error: type[NnunetAssetsError]) -> Any:
    """Returns what a JSON file holds that a materialization of this asset writes.

    Raises:
        NnunetAssetsError: Of the class `error`: the file is missing, damaged or cannot be read.
    """
    try:
        return load_json(path)
    except FileNotFoundError:
        raise error(f"{path} is missing. Materialize {asset} first.") from None
    except ValueError as problem:
        raise error(f"{path} is not valid JSON ({problem}). Materialize {asset} again.") from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}. Materialize {asset} again.") from problem


def readable_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file that proves nothing where it is not there, or damaged: it is empty then."""
    try:
        content = load_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_json_bytes(path: Path) -> bytes:
    """Returns the bytes of a JSON file.

    Raises:
        OSError: It is not there, cannot be read, or is a pipe or a device.
        JsonError: It has more than `MOST_BYTES`.
    """
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
            most = f"no JSON file of more than {MOST_BYTES / 1e6:.0f} MB is read"
            raise JsonError(f"it has {size / 1e6:.0f} MB, and {most}")
        return file.read()


def parse_json(content: bytes, **options: Any) -> Any:
    """Returns what JSON holds.

    Raises:
        json.JSONDecodeError: It is no JSON.
        JsonError: It has more than `MOST_CONTAINERS`, or is nested deeper than Python can follow.
        ValueError: Any of these, a text that is no UTF-8, or a number of thousands of digits.
    """
    if (n := content.count(b"[") + content.count(b"{")) > MOST_CONTAINERS:
        raise JsonError(f"it has {n} lists and objects, and no more than {MOST_CONTAINERS} are read")
    try:
        return json.loads(content, **options)
    except RecursionError:
        raise JsonError("its lists or objects are nested too deep") from None


def write_json_atomically(path: Path, value: Mapping[str, Any] | list[Any]) -> None:
    """Writes JSON, indented for people, as `write_atomically` does; NaN is refused, since JSON has none."""
    write_atomically(path, dump_json(value))


def dump_json(value: Mapping[str, Any] | list[Any], *, allow_nan: bool = False) -> bytes:
    """Returns JSON as `write_json_atomically` writes it.

    Args:
        value: What it is to hold.
        allow_nan: Write NaN, as nnU-Net does in places, in place of raising a ValueError.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=allow_nan) + "\n").encode()
