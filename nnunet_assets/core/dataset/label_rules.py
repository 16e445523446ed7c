"""nnU-Net's rules for the labels of a dataset.json: values from 0 up without gaps, `background` 0, `ignore` highest."""

import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from nnunet_assets.core.dataset.region_rules import check_class_order
from nnunet_assets.errors import first_offenders

HIGHEST_LABEL = 65535
"""nnU-Net writes label images in 16 bits at most."""

_MANY_LABELS = 255
"""The highest value in 8 bits."""

Problem = tuple[str, str]
"""A finding's code and message."""


def label_value(value: Any) -> int | None:
    """Returns a label value as a number (`1`, or `"1"` as nnU-Net accepts it), or None where it is neither."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,5}", value) and int(value) <= HIGHEST_LABEL else None
    return value if type(value) is int and 0 <= value <= HIGHEST_LABEL else None


def region_values(value: Any) -> tuple[int, ...]:
    """Returns the numbers that a label stands for, one or several; what is no label value is left out."""
    numbers = [label_value(item) for item in _items(value)]
    return tuple(number for number in numbers if number is not None)


def naming_problem(content: Any) -> str | None:
    """Returns what keeps a dataset.json from naming the labels and cases of scores; None: nothing, whatever else is."""
    if not isinstance(content, dict):
        return "it holds no object"
    labels = content.get("labels")
    if not isinstance(labels, dict) or not all(map(region_values, labels.values())):
        return f"labels is {reprlib.repr(labels)}"
    ending = content.get("file_ending")
    return None if isinstance(ending, str) else f"file_ending is {reprlib.repr(ending)}"


def check_labels(labels: Any, class_order: Any) -> Iterator[Problem]:
    """Yields all that is wrong with `labels` and `regions_class_order`.

    D011 (values given as text) and D070 (very many labels) do no harm by themselves.
    """
    if not isinstance(labels, dict) or not labels:
        yield "D008", f'labels is {labels!r}; write, for example, "labels": {{"background": 0, "tumour": 1}}.'
        return
    if all(label_value(key) is not None for key in labels) and not all(map(_is_value, labels.values())):
        swapped = {"background" if int(key) == 0 else str(value): int(key) for key, value in labels.items()}
        yield (
            "D007",
            f"labels is inverted: it must map names to values. Write {json.dumps(swapped, ensure_ascii=False)}.",
        )
        return
    yield from _check_background(labels)
    wrong = [f"{name}: {json.dumps(value)}" for name, value in labels.items() if not _is_value(value)]
    if wrong:
        yield (
            "D012",
            f"labels has values that are no whole numbers from 0 to {HIGHEST_LABEL}: {first_offenders(wrong)}.",
        )
    else:
        yield from _check_number(labels)
        yield from _check_values(labels)
        yield from _check_ignore(labels)
        yield from _check_foreground(labels)
    if _has_regions(labels):
        yield from _check_regions(labels, class_order)
    else:
        texts = [f"{name}: {value!r}" for name, value in labels.items() if isinstance(value, str)]
        if texts:
            yield "D011", f"labels has values written as text, read as numbers: {first_offenders(texts)}."


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_value(value: Any) -> bool:
    return bool(_items(value)) and all(label_value(item) is not None for item in _items(value))


def _has_regions(labels: Mapping[str, Any]) -> bool:
    return any(isinstance(value, list) and len(value) > 1 for value in labels.values())


def _check_background(labels: Mapping[str, Any]) -> Iterator[Problem]:
    if "background" not in labels:
        similar = [name for name in labels if name.casefold() == "background"]
        hint = f"it has {similar[0]!r}, which must be in small letters" if similar else 'add "background": 0'
        yield "D008", f"labels has no 'background'; {hint}."
    elif isinstance(labels["background"], list) or label_value(labels["background"]) != 0:
        yield "D009", f"labels has background as {json.dumps(labels['background'])}; nnU-Net needs it to be 0."


def _check_foreground(labels: Mapping[str, Any]) -> Iterator[Problem]:
    if not set(labels) - {"background", "ignore"}:
        yield (
            "D036",
            f"labels declares nothing but {' and '.join(labels)}: there is no label to segment. Add what is to be "
            'segmented, such as "tumour": 1.',
        )


def _check_number(labels: Mapping[str, Any]) -> Iterator[Problem]:
    highest = max(value for name in labels for value in region_values(labels[name]))
    if highest > _MANY_LABELS:
        yield (
            "D070",
            f"labels go up to {highest}. nnU-Net holds a map of the image's size in memory for each, and its reader "
            f"SimpleITKIOWithReorient writes 8 bits, up to {_MANY_LABELS}. Declare only what is to be segmented.",
        )


def _check_values(labels: Mapping[str, Any]) -> Iterator[Problem]:
    by_values: dict[frozenset[int], list[str]] = {}
    for name, value in labels.items():
        by_values.setdefault(frozenset(region_values(value)), []).append(name)
    for values, names in by_values.items():
        if len(names) > 1:
            shown = ", ".join(str(value) for value in sorted(values))
            yield (
                "D015",
                f"labels {', '.join(map(repr, names))} share the value {shown}; each label needs one of its own.",
            )
    present = sorted({value for name in labels if name != "ignore" for value in region_values(labels[name])})
    missing = sorted(set(range(max(present, default=0))) - set(present))
    if missing:
        moves = [f"{old} to {new}" for new, old in enumerate(present) if old != new and 0 in present]
        remedy = f" Renumber {first_offenders(moves)}, in dataset.json and in the label images." if moves else ""
        yield (
            "D010",
            f"labels has the values {first_offenders(present)} without {first_offenders(missing)}; nnU-Net needs them "
            f"from 0 up without gaps.{remedy}",
        )


def _check_ignore(labels: Mapping[str, Any]) -> Iterator[Problem]:
    if "ignore" not in labels:
        return
    ignore = labels["ignore"]
    highest = max((value for name in labels if name != "ignore" for value in region_values(labels[name])), default=0)
    if type(ignore) is not int or ignore != highest + 1:
        yield (
            "D014",
            f"labels has ignore as {json.dumps(ignore)}; it must be the number after the highest other label, "
            f"{highest + 1}.",
        )


def _check_regions(labels: Mapping[str, Any], class_order: Any) -> Iterator[Problem]:
    # nnU-Net compares voxels with a region's values as they are, so "1" would match nothing.
    texts = [name for name, value in labels.items() if any(isinstance(item, str) for item in _items(value))]
    if texts:
        yield (
            "D012",
            f"labels with regions must not be text: {first_offenders(texts)}. Write the numbers without quotes.",
        )
    if all(_is_value(value) for value in labels.values()):
        regions = {
            name: frozenset(region_values(value))
            for name, value in labels.items()
            if name not in ("background", "ignore")
        }
        yield from (("D013", message) for message in check_class_order(regions, class_order))
