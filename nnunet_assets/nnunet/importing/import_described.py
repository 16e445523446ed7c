"""Brings a dataset in an older form into nnUNet_raw, in nnU-Net v2's form. The source is never changed.

Files with three axes arrive byte for byte; only files with four are written anew, one a channel, in their own number
type and place.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.errors import ConfigError, DatasetError, first_offenders
from nnunet_assets.nnunet.images.nifti import read_shape, shape_text
from nnunet_assets.nnunet.importing.planned_import import ImportedDataset, PlannedImport, left_behind
from nnunet_assets.nnunet.importing.transfer import LINKED, Link, Transfer
from nnunet_assets.nnunet.importing.version_1 import ENDING, OldDataset, read_old_dataset
from nnunet_assets.nnunet.raw.name_check import refuse_clashing
from nnunet_assets.nnunet.raw.raw_root import refuse_taken


def plan_described(
    source: Path, raw_root: Path, *, dataset: str | None = None, dataset_id: int | None = None, link: Link = "copy"
) -> PlannedImport:
    """Returns how a Medical Segmentation Decathlon folder or an nnU-Net v1 task is to be brought into nnUNet_raw.

    Args:
        source: The folder with the old dataset.json, `imagesTr` and `labelsTr`.
        raw_root: nnU-Net's `nnUNet_raw`; need not exist.
        dataset: `DatasetXXX_Name`; None: from the source's name, so that Task04_Heart becomes Dataset004_Heart.
        dataset_id: Replaces the number in the source's name; None: the name's own.
        link: How files that need no conversion get there.

    Raises:
        ConfigError: No name can be made of the source's, or `dataset` and `dataset_id` contradict each other.
        DatasetError: The source cannot be converted, or the name or id is taken.
    """
    name = dataset_name(source, dataset, dataset_id)
    refuse_taken(raw_root, name)
    old = read_old_dataset(source)
    refuse_clashing(source, list(old.training), ENDING)
    transfers = _transfers(old)
    left = left_behind(transfers, ENDING)
    done, outlook = ((*_changes(old, transfers, link, were), *left) for were in ("were", "would be"))
    return PlannedImport(
        ImportedDataset(name, raw_root / name, len(old.training), len(old.test), done),
        outlook,
        source,
        transfers,
        old.converted,
        link,
    )


def dataset_name(source: Path, dataset: str | None = None, dataset_id: int | None = None) -> str:
    """Returns the dataset's name: the given one, or the source's in nnU-Net's form, with the given id.

    Raises:
        ConfigError: No name can be made of the source's, or name and id contradict each other.
    """
    if dataset_id is not None and not 0 <= dataset_id <= 999:
        raise ConfigError(f"The dataset id {dataset_id} is not a number from 0 to 999.")
    if dataset is not None:
        if dataset_id is not None and not dataset.startswith(f"Dataset{dataset_id:03d}_"):
            raise ConfigError(f"The name {dataset} does not have the id {dataset_id}. Give one of the two.")
        return dataset
    folder = source.resolve().name
    match = re.fullmatch(r"(?:Task|Dataset)([0-9]{1,3})_([A-Za-z0-9._-]+)", folder)
    if match:
        return f"Dataset{int(match[1]) if dataset_id is None else dataset_id:03d}_{match[2]}"
    raise ConfigError(
        f"No dataset name can be made of the folder name {folder!r}, which is not of the form Task04_Name. Give one "
        "with --name, such as --name Dataset004_Hippocampus."
    )


def _transfers(old: OldDataset) -> list[Transfer]:
    transfers, wrong = [], []
    images = [file for files in (*old.training.values(), *old.test.values()) for file in files]
    for file in images:
        shape = read_shape(file) if old.is_decathlon else ()
        targets = _channel_targets(file, old.n_channels) if old.is_decathlon else (_target(file),)
        n_found = shape[3] if len(shape) == 4 else 1
        if n_found != len(targets) or len(shape) > 4:
            wrong.append(f"{_target(file)} ({shape_text(shape)})")
        transfers.append(Transfer(file, targets, change="split" if len(shape) == 4 else None))
    if wrong:
        raise DatasetError(
            f"{old.folder / DATASET_JSON} has {old.n_channels} under 'modality', but {len(wrong)} images do not have "
            f"as many channels: {first_offenders(wrong)}. Correct 'modality', or leave these cases out."
        )
    return transfers + [Transfer(file, (_target(file),)) for file in old.labels]


def _target(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _channel_targets(file: Path, n_channels: int) -> tuple[str, ...]:
    return tuple(f"{_target(file).removesuffix(ENDING)}_{channel:04d}{ENDING}" for channel in range(n_channels))


def _changes(old: OldDataset, transfers: Sequence[Transfer], link: Link, were: str) -> Iterator[str]:
    channels = ", ".join(f"{index} {name}" for index, name in old.converted["channel_names"].items())
    labels = ", ".join(f"{value} {name}" for name, value in old.converted["labels"].items())
    yield f"dataset.json is in nnU-Net v2's form: channels {channels}; labels {labels}."
    if old.content.get("numTraining") != len(old.training):
        yield f"numTraining is {len(old.training)}, as found; it was {old.content.get('numTraining')}."
    n_split = sum(transfer.change == "split" for transfer in transfers)
    if n_split:
        yield f"{n_split} images with their channels on a fourth axis {were} split into {old.n_channels} files each."
    if old.is_decathlon and n_split < len(old.training) + len(old.test):
        n_renamed = len(old.training) + len(old.test) - n_split
        yield f"{n_renamed} images {were} {LINKED[link]} under names with nnU-Net's channel number, _0000{ENDING}."
    n_same = sum(transfer.targets == (_target(transfer.source),) for transfer in transfers)
    if n_same:
        yield f"{n_same} files {were} {LINKED[link]} under their own names."
