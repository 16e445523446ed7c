"""Looks at the small dataset that these tests spoil in one way each, and its files."""

from pathlib import Path

from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset


def inspect(folder: Path, n_folds: int = 3) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, n_folds)


def the_finding(folder: Path, code: str, n_folds: int = 3) -> str:
    """Returns the message of the one finding that a spoiled dataset has, and checks its code."""
    findings = inspect(folder, n_folds).findings
    assert [finding.code for finding in findings] == [code], findings
    return findings[0].message


def image_of(folder: Path, case: int = 1) -> Path:
    return folder / f"imagesTr/case_{case}_0000.nii.gz"


def label_of(folder: Path, case: int = 1) -> Path:
    return folder / f"labelsTr/case_{case}.nii.gz"
