"""Brings images and labels from any folder into nnUNet_raw, with a dataset.json made for them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.dataset_json import (
    DATASET_JSON,
    FILE_ENDINGS,
    check_description,
    convert_version_1,
    read_json_object,
)
from nnunet_assets.core.dataset.findings import refuse_errors
from nnunet_assets.core.dataset.label_rules import label_value
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.images.nifti import ENDINGS, read_shape, read_volume, shape_text
from nnunet_assets.nnunet.importing.import_companions import refuse_detached, spacing_transfers
from nnunet_assets.nnunet.importing.planned_import import IMPORTING, ImportedDataset, PlannedImport, left_behind
from nnunet_assets.nnunet.importing.source_cases import SourceCases
from nnunet_assets.nnunet.importing.transfer import LINKED, Link, Transfer
from nnunet_assets.nnunet.raw.name_check import refuse_clashing
from nnunet_assets.nnunet.raw.raw_root import refuse_taken

CASES_TABLE = "cases.csv"
"""Beside dataset.json: the further columns of an imported table."""


def plan_files(
    cases: SourceCases,
    raw_root: Path,
    dataset: str,
    *,
    labels: Mapping[str, Any] | None = None,
    link: Link = "copy",
    compress: bool = False,
    progress: Progress = SILENT,
) -> PlannedImport:
    """Returns how cases are to be brought into nnUNet_raw as a new dataset.

    Args:
        cases: What to bring.
        raw_root: nnU-Net's `nnUNet_raw`; need not exist.
        dataset: `DatasetXXX_Name`.
        labels: `labels` of dataset.json, and `regions_class_order` where it has regions; None: by the values that the
            label images hold.
        link: How files that need no conversion get there.
        compress: Whether `.nii` becomes `.nii.gz`.
        progress: Hears of each label image that is read.

    Raises:
        DatasetError: The files cannot become a dataset, the name or id is taken, or a file cannot be read.
    """
    refuse_taken(raw_root, dataset)
    ending = _ending(cases, compress=compress)
    refuse_detached(cases.files, ending)
    refuse_clashing(cases.folder, list(cases.training), ending)
    spacings, warnings = spacing_transfers(cases, ending)
    transfers = [*_transfers(cases, ending), *spacings]
    n_read = 0 if labels else len(cases.training)
    n_files = n_read + len(transfers)
    declared = labels or {"labels": _found_labels(cases, ending, lambda n: progress.step(IMPORTING, n, n_files))}
    description = {
        "channel_names": {str(index): name for index, name in enumerate(cases.channels)},
        **declared,
        "numTraining": len(cases.training),
        "file_ending": ending,
    }
    refuse_errors(f"{DATASET_JSON} for {cases.folder}", check_description(description))
    warnings += left_behind(transfers, ending)
    done, outlook = (
        (*_changes(cases, transfers, description, link, were, are_found=labels is None), *warnings)
        for were in ("were", "would be")
    )
    return PlannedImport(
        ImportedDataset(dataset, raw_root / dataset, len(cases.training), len(cases.test), done),
        outlook,
        cases.folder,
        transfers,
        description,
        link,
        n_before=n_read,
        tables={CASES_TABLE: cases.table()} if cases.columns else {},
    )


def labels_from_file(path: Path) -> dict[str, Any]:
    """Returns `labels` (and `regions_class_order`) from a JSON file: those of a dataset.json, or names to values.

    Raises:
        DatasetError: It is no JSON object.
    """
    content = read_json_object(path)
    labels = content.get("labels", content)
    if isinstance(labels, dict) and all(label_value(key) is not None for key in labels):
        labels = convert_version_1({"labels": labels})["labels"]
    order = {"regions_class_order": content["regions_class_order"]} if "regions_class_order" in content else {}
    return {"labels": labels, **order}


def _ending(cases: SourceCases, *, compress: bool) -> str:
    by_length = sorted(FILE_ENDINGS, key=len, reverse=True)
    counts = Counter(
        next((ending for ending in by_length if file.name.lower().endswith(ending)), "another ending")
        for file in cases.files
    )
    if compress and set(counts) <= set(ENDINGS):
        return ".nii.gz"
    if len(counts) == 1 and "another ending" not in counts:
        return next(iter(counts))
    shown = ", ".join(f"{ending} ({count} files)" for ending, count in counts.most_common())
    remedy = "With --compress, .nii becomes .nii.gz. " if ".nii" in counts else ""
    raise DatasetError(
        f"The images and labels end in {shown}. nnU-Net needs one ending for all of them, out of "
        f"{', '.join(FILE_ENDINGS)}. {remedy}Otherwise convert them first."
    )


def _transfers(cases: SourceCases, ending: str) -> Iterator[Transfer]:
    wrong = []
    for subset, folder in ((cases.training, "Tr"), (cases.test, "Ts")):
        for case, files in subset.items():
            targets = [f"images{folder}/{case}_{channel:04d}{ending}" for channel in range(len(cases.channels))]
            for image in files.images:
                shape = read_shape(image) if ending in ENDINGS else ()
                own = targets if len(files.images) == 1 else [targets[files.images.index(image)]]
                # Of the other formats nnU-Net takes the colours of one file for its channels.
                if ending in ENDINGS and ((shape[3] if len(shape) == 4 else 1) != len(own) or len(shape) > 4):
                    wrong.append(f"{image} ({shape_text(shape)})")
                else:
                    yield Transfer(image, tuple(own), "split") if len(shape) == 4 else _plain(image, own[0], ending)
            if files.label:
                yield _plain(files.label, f"labels{folder}/{case}{ending}", ending)
    if wrong:
        raise DatasetError(
            f"--channel names {len(cases.channels)} channels ({', '.join(cases.channels)}), but {len(wrong)} images do "
            f"not hold as many: {first_offenders(wrong)}. Correct --channel, or say with {{channel}} how the files of "
            "the channels are named."
        )


def _plain(source: Path, target: str, ending: str) -> Transfer:
    is_compressed = source.name.lower().endswith(ending)
    return Transfer(source, (target,), None if is_compressed else "compress")


def _found_labels(cases: SourceCases, ending: str, on_read: Callable[[int], None]) -> dict[str, int]:
    """Returns a name for every value that the label images hold.

    Raises:
        DatasetError: They cannot be read here, or a value is no label.
    """
    if ending not in ENDINGS:
        raise DatasetError(
            f"The values in label images that end in {ending} are not read here. Say what they mean: --label "
            "background=0 --label NAME=1 and so on."
        )
    values = {0.0}
    for n_read, case in enumerate(cases.training.values(), start=1):
        if case.label:
            on_read(n_read)
            values |= set(np.unique(read_volume(case.label, as_itk=ending == ENDINGS[0]).values()).tolist())
            wrong = sorted(value for value in values if value % 1 or label_value(int(value)) is None)
            if wrong:
                raise DatasetError(
                    f"{case.label} holds {first_offenders([f'{value:g}' for value in wrong])}; labels are whole "
                    "numbers from 0 up. It was probably resampled with interpolation: use nearest neighbour."
                )
    return {"background" if value == 0 else f"label_{value:g}": int(value) for value in sorted(values)}


def _changes(
    cases: SourceCases,
    transfers: Sequence[Transfer],
    description: Mapping[str, Any],
    link: Link,
    were: str,
    *,
    are_found: bool,
) -> Iterator[str]:
    channels = ", ".join(f"{index} {name}" for index, name in description["channel_names"].items())
    labels = ", ".join(f"{value} {name}" for name, value in description["labels"].items())
    how = "as found in the label images; give them names with --label" if are_found else "as given"
    yield f"dataset.json {'was' if were == 'were' else were} made: channels {channels}; labels {labels}, {how}."
    if cases.renamed:
        shown = first_offenders([f"{old!r} is {new}" for old, new in cases.renamed.items()])
        yield f"{len(cases.renamed)} cases have other names here, which are safe as file names: {shown}."
    counts = Counter(transfer.change for transfer in transfers)
    if counts["split"]:
        yield (
            f"{counts['split']} images with their channels on a fourth axis {were} split into {len(cases.channels)} "
            "files each."
        )
    if counts["compress"]:
        yield f"{counts['compress']} files {were} compressed, .nii to .nii.gz."
    if counts[None]:
        yield f"{counts[None]} files {were} {LINKED[link]}."
    if cases.columns:
        yield f"{CASES_TABLE} beside dataset.json keeps the columns {', '.join(cases.columns)}."
