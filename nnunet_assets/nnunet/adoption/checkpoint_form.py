"""The form of what a checkpoint of nnU-Net says beside its weights, checked once, before anybody stumbles over it.

A checkpoint from elsewhere may say anything: a text where a number of epochs is meant, a series that is none. What is
wrong is named by its place in the file.
"""

import math
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.plans_code import shortened
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.watching.epoch_logger import CLASS_PREFIX, END, SERIES, START

BY_LABEL = CLASS_PREFIX.partition("/")[0]
"""nnU-Net's name of the pseudo Dice by label: a list of lists, where the other series are lists of numbers."""

LATEST_TIME = 1e11
"""In seconds since 1970, in the year 5138."""

LARGEST_LABEL = 2**31

_KINDS: Mapping[str, tuple[type, ...]] = {
    "an object": (Mapping,),
    "a text": (str,),
    "a whole number": (Integral,),
    "a number or a text": (Integral, str),
}


def check_form(file: Path, content: Any) -> None:
    """Passes where all that is read of a checkpoint has the form in which nnU-Net writes it.

    Raises:
        FoldError: It has not; the message names each key with what it holds.
    """
    if wrong := list(_wrong(content)):
        raise FoldError(
            f"{file} is damaged, or no checkpoint of nnU-Net v2: {first_offenders(wrong)}. Restore the file, or train "
            "the fold again."
        )


def _wrong(content: Any) -> Iterator[str]:
    wanted = {
        ("init_args",): "an object",
        ("init_args", "plans"): "an object",
        ("init_args", "plans", "configurations"): "an object",
        ("init_args", "dataset_json"): "an object",
        ("init_args", "dataset_json", "labels"): "an object",
        ("init_args", "dataset_json", "file_ending"): "a text",
        ("init_args", "configuration"): "a text",
        ("init_args", "fold"): "a number or a text",
        ("trainer_name",): "a text",
        ("current_epoch",): "a whole number",
        ("logging",): "an object",
    }
    found = [problem for keys, kind in wanted.items() if (problem := _of_another_kind(content, keys, kind))]
    yield from found
    if not found:
        yield from _wrong_labels(content["init_args"]["dataset_json"]["labels"])
        for name in (START, *SERIES, END, BY_LABEL):
            yield from _wrong_series(name, content["logging"].get(name) or [])


def _of_another_kind(content: Any, keys: tuple[str, ...], kind: str) -> str:
    for depth, key in enumerate(keys):
        if not isinstance(content, Mapping):
            return ""  # said of what it lies in, or of the whole
        if key not in content:
            return f"it has no {'.'.join(keys[: depth + 1])}"
        content = content[key]
    return "" if isinstance(content, _KINDS[kind]) else f"{'.'.join(keys)} is {shortened(content)}, not {kind}"


def _wrong_labels(labels: Mapping[Any, Any]) -> Iterator[str]:
    for name, value in labels.items():
        values = value if isinstance(value, list | tuple) else [value]
        if not isinstance(name, str) or not values or not all(_is_whole(one) for one in values):
            yield f"init_args.dataset_json.labels.{name} is {shortened(value)}, no value of voxels"


def _is_whole(value: Any) -> bool:
    # nnU-Net takes a value that is written as text.
    is_number = _number(value).is_integer() and abs(_number(value)) < LARGEST_LABEL
    return is_number or (isinstance(value, str) and value.isdecimal() and value.isascii())


def _number(value: Any) -> float:
    """Returns a number as one that can be compared; NaN for whatever is none, or too large."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.nan


def _wrong_series(name: str, series: Any) -> Iterator[str]:
    if not isinstance(series, list | tuple):
        yield f"logging.{name} is {shortened(series)}, not a list"
        return
    for epoch, value in enumerate(series):
        if name == BY_LABEL and not isinstance(value, list | tuple):
            yield f"logging.{name}.{epoch} is {shortened(value)}, not a list"
        # A trainer of somebody's own may log what is no number, and that is passed over; but times are needed.
        if name in (START, END) and not 0 <= _number(value) < LATEST_TIME:
            yield f"logging.{name}.{epoch} is {shortened(value)}, no time in seconds since 1970"
