"""What a dataset.json says, as values to rely on, and every way in which the file itself can be wrong.

Knows nnU-Net v2's rules for this one file. Whether images and labels agree with it is for `nnunet.raw.raw_data`.
"""

import codecs
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.findings import Finding, refuse_errors
from nnunet_assets.core.dataset.label_rules import check_labels, label_value, region_values
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.errors import DatasetError, first_offenders

DATASET_JSON = "dataset.json"
_WARNINGS = frozenset({"D011", "D070"})
FILE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".gipl", ".png", ".bmp", ".tif", ".tiff")
"""What nnU-Net's own readers open."""


@dataclass(frozen=True)
class DatasetDescription:
    """The content of a dataset.json that passed every check.

    Attributes:
        channel_names: By channel: the first belongs to `_0000`.
        labels: Label name to the value in the label images, or to several values (a region). With `background`, and
            with `ignore` where the dataset has it.
        file_ending: With its dot, as the file has it.
        n_training: `numTraining`; None where the file does not say.
        regions_class_order: The value that each region paints, in the order of the regions; None without regions.
        raw: The file as it is.
        warnings: What was accepted, but should be looked at.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    file_ending: str
    n_training: int | None
    regions_class_order: tuple[int, ...] | None
    raw: Mapping[str, Any]
    warnings: tuple[Finding, ...] = ()

    @property
    def foreground(self) -> tuple[str, ...]:
        """The names of what is to be segmented: all labels but `background` and `ignore`, in the file's order."""
        return tuple(name for name in self.labels if name not in ("background", "ignore"))

    @property
    def has_regions(self) -> bool:
        """Whether a label stands for several values, so that labels may overlap."""
        return any(isinstance(value, tuple) for value in self.labels.values())

    @property
    def ignore_label(self) -> int | None:
        """The value of voxels that nobody annotated; None where there are none."""
        value = self.labels.get("ignore")
        return value if isinstance(value, int) else None

    @property
    def voxel_values(self) -> tuple[int, ...]:
        """Every value that a label image may hold, ascending, `ignore` included."""
        return tuple(sorted({value for name in self.labels for value in self.values_of(name)}))

    def values_of(self, label_name: str) -> tuple[int, ...]:
        """Returns the voxel values that a label covers: one, or several for a region."""
        value = self.labels[label_name]
        return value if isinstance(value, tuple) else (value,)


def parse_dataset_json(path: Path) -> DatasetDescription:
    """Returns what a dataset.json says.

    Raises:
        DatasetError: The file is absent, is no JSON object, or breaks nnU-Net's rules; all that is wrong is named.
    """
    content = read_json_object(path)
    findings = check_description(content)
    refuse_errors(str(path), findings)
    labels = {name: _normalised(value, content["labels"]) for name, value in content["labels"].items()}
    has_regions = any(isinstance(value, tuple) for value in labels.values())
    return DatasetDescription(
        channel_names=tuple(content["channel_names"].values()),
        labels=labels,
        file_ending=content["file_ending"],
        n_training=content.get("numTraining"),
        regions_class_order=tuple(content["regions_class_order"]) if has_regions else None,
        raw=content,
        warnings=tuple(findings),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a dataset.json, whatever its keys.

    Raises:
        DatasetError: The file is absent, not JSON, not an object, or holds one key twice.
    """
    _refuse_other_encoding(path)
    try:
        content = load_json(path, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # 1e999 is read as infinity
    except FileNotFoundError:
        found = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        raise DatasetError(
            f"D001 There is no {path.name} in {path.parent}, which holds {first_offenders(found) or 'nothing'}. For a "
            "folder of the Medical Segmentation Decathlon or of nnU-Net v1, `nnunet-assets import-dataset` writes it."
        ) from None
    except json.JSONDecodeError as error:
        raise DatasetError(f"D002 {path}:{error.lineno}:{error.colno} is not valid JSON: {error.msg}.") from None
    except UnicodeEncodeError:
        raise DatasetError(
            f"D002 {path} holds half of a character (a lone surrogate such as \\ud800), which is no text. Take it out."
        ) from None
    except _DuplicateKeyError as error:
        raise DatasetError(
            f"D003 {path} has the key {error} twice in one object; only one of them can count."
        ) from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"D002 {path} is not valid JSON: {error}.") from None
    except OSError as error:
        raise DatasetError(f"D053 {path} cannot be read: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"D004 {path} holds a JSON {type(content).__name__}; nnU-Net needs an object, {{...}}.")
    return content


def has_byte_order_mark(path: Path) -> bool:
    """Tells whether a file in UTF-8 begins with a byte order mark, as some editors on Windows write it.

    nnU-Net cannot read such a dataset.json. No readable file: False.
    """
    return _first_bytes(path).startswith(codecs.BOM_UTF8)


def _refuse_other_encoding(path: Path) -> None:
    start = _first_bytes(path)
    # JSON begins with two ASCII characters: in UTF-16 and UTF-32 a zero is among their bytes.
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start:
        raise DatasetError(
            f"D002 {path} is not valid JSON to nnU-Net, which reads UTF-8: it is UTF-16 or UTF-32. Save it as UTF-8."
        )


def _first_bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(4)
    except OSError:
        return b""


def check_description(content: Mapping[str, Any]) -> list[Finding]:
    """Returns all that is wrong with the content of a dataset.json; the empty list where nothing is."""
    if "modality" in content and "channel_names" not in content:
        return [_version_1(content)]
    problems = [
        *check_labels(content.get("labels"), content.get("regions_class_order")),
        *_check_channels(content.get("channel_names")),
        *_check_file_ending(content),
        *_check_reader(content),
        *_check_n_training(content),
        *_check_entries(content.get("dataset", {})),
    ]
    return [
        Finding(code, "warning" if code in _WARNINGS else "error", message, file=DATASET_JSON)
        for code, message in problems
    ]


def convert_version_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the three keys by which a file of nnU-Net v1 or the Decathlon differs, in nnU-Net v2's form.

    A label 0 of any other name becomes `background`; labels and modalities that cannot be converted stay as they are,
    for `check_description` to name.
    """
    labels, modality = content.get("labels"), content.get("modality")
    if isinstance(labels, dict) and all(label_value(key) is not None for key in labels):
        labels = {"background" if int(key) == 0 else str(labels[key]): int(key) for key in sorted(labels, key=int)}
    if isinstance(modality, dict) and all(label_value(key) is not None for key in modality):
        modality = {key: modality[key] for key in sorted(modality, key=int)}
    return {"channel_names": modality, "labels": labels, "file_ending": content.get("file_ending", ".nii.gz")}


class _DuplicateKeyError(Exception):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKeyError(repr(next(key for key in keys if keys.count(key) > 1)))
    return content


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _normalised(value: Any, labels: Mapping[str, Any]) -> int | tuple[int, ...]:
    # As nnU-Net decides it: one list of several values makes every list a region, else [1] is just 1.
    if isinstance(value, list) and any(isinstance(other, list) and len(other) > 1 for other in labels.values()):
        return region_values(value)
    return int(value[0] if isinstance(value, list) else value)


def _version_1(content: Mapping[str, Any]) -> Finding:
    converted = json.dumps(convert_version_1(content), ensure_ascii=False)
    message = (
        "dataset.json is in the old form of nnU-Net v1 and the Medical Segmentation Decathlon: it has 'modality' and "
        "no 'channel_names'. Run `nnunet-assets import-dataset` on the folder, or put these keys in place of "
        f"'modality' and 'labels': {converted}"
    )
    return Finding("D006", "error", message, file=DATASET_JSON)


def _check_channels(channels: Any) -> Iterator[tuple[str, str]]:
    example = 'write, for example, "channel_names": {"0": "MRI"}'
    if not isinstance(channels, dict) or not channels:
        yield "D021", f"channel_names is {channels!r}, not an object that names at least one channel; {example}."
        return
    if not all(re.fullmatch(r"\d+", key) for key in channels):
        yield "D021", f"channel_names has the keys {first_offenders(list(channels))}, not channel numbers; {example}."
    elif list(channels) != [str(index) for index in range(len(channels))]:
        # nnU-Net picks each channel's normalization by the order in the file, so the order matters too.
        yield (
            "D023",
            f"channel_names has the keys {first_offenders(list(channels))}. They must start at 0 and count up in this "
            "order; file names count the same way (_0000, _0001, ...).",
        )
    wrong = [f"{key}: {name!r}" for key, name in channels.items() if not isinstance(name, str) or not name]
    if wrong:
        yield "D021", f"channel_names has names that are no text: {first_offenders(wrong)}; {example}."


def _check_file_ending(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ending = content.get("file_ending")
    supported = f"nnU-Net reads {', '.join(FILE_ENDINGS)}"
    if not isinstance(ending, str) or not ending:
        yield "D018", f'file_ending is {ending!r}; write, for example, "file_ending": ".nii.gz". {supported}.'
    elif not ending.startswith("."):
        close = difflib.get_close_matches(f".{ending.lower()}", FILE_ENDINGS, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else f"{supported}."
        yield "D018", f"file_ending {ending!r} does not start with a dot. {hint}"
    elif re.search(r"[/\\\0]", ending):
        yield "D060", f"file_ending {ending!r} leads out of the folder of images. {supported}."
    # A reader of the user's own may open other files.
    elif ending.lower() not in FILE_ENDINGS and content.get("overwrite_image_reader_writer", "None") == "None":
        close = difflib.get_close_matches(ending.lower(), FILE_ENDINGS, n=1)
        hint = f' Did you mean "{close[0]}"?' if close else ""
        yield "D020", f"file_ending {ending!r} is not one that nnU-Net knows. {supported}.{hint}"


def _check_reader(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    key = "overwrite_image_reader_writer"
    if key in content and not isinstance(content[key], str):
        yield (
            "D079",
            f"{key} is {json.dumps(content[key])}, no name of a reader, and nnU-Net stops there. Take the key away, or "
            f'name a reader: "{key}": "SimpleITKIO".',
        )


def _check_n_training(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    n_training = content.get("numTraining")
    if n_training is not None and type(n_training) is not int:
        yield "D017", f"numTraining is {n_training!r}, not a whole number; write the number of cases without quotes."


def _check_entries(entries: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(entries, dict):
        yield "D061", f"dataset is a JSON {type(entries).__name__}, not an object of case to its images and label."
        return
    # nnU-Net makes file names of the keys, so a key with a separator writes outside of its folders.
    unsafe = [repr(key) for key in entries if key in ("", ".", "..") or re.search(r"[/\\\0]", key)]
    if unsafe:
        yield (
            "D060",
            f"dataset names cases that are no file names: {first_offenders(unsafe)}. nnU-Net would write outside of "
            "its folders; name the cases without / and \\.",
        )
    wrong = [repr(case) for case, entry in entries.items() if not _is_entry(entry)]
    if wrong:
        yield (
            "D061",
            f"dataset has entries of the wrong form: {first_offenders(wrong)}. Each must look like "
            '{"images": ["one file a channel"], "label": "file"}.',
        )


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not _is_path(entry.get("label")):
        return False
    images = entry.get("images")
    return isinstance(images, list) and bool(images) and all(_is_path(image) for image in images)


def _is_path(text: Any) -> bool:
    return isinstance(text, str) and text != "" and "\0" not in text
