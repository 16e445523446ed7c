"""Raw data read again, in whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.raw_checks import input_finding, raw_finding
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import HIGHER, write_case
from nnunet_assets_tests.verification_builders import DATASET, SPLITS, inputs_of


def found(settings: Settings, *, quick: bool = False, wanted: str | None = None) -> Finding:
    walk = Walk(settings.roots, frozenset(), Silent(), quick)
    return raw_finding(walk, DATASET, wanted or inputs_of(settings.roots).raw_hash)


def test_every_file_is_read_again(whole: Settings) -> None:
    finding = found(whole)
    assert finding.verdict == "holds"
    assert "the images and labels of 8 cases were read again, and dataset.json" in finding.sentence
    assert "as they were looked at last" in found(whole, quick=True).sentence


def image(raw: Path) -> None:
    write_case(raw / "imagesTr" / "c_0000.nii.gz", HIGHER)


def label(raw: Path) -> None:
    write_case(raw / "labelsTr" / "d.nii.gz", HIGHER)


def a_byte(raw: Path) -> None:
    file = raw / "imagesTr" / "a_0000.nii.gz"
    content = bytearray(file.read_bytes())
    content[4] ^= 1  # the time in gzip's header: the voxels are the same
    file.write_bytes(content)


def description(raw: Path) -> None:
    content = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps({**content, "channel_names": {"0": "CT"}}))


def one_more(raw: Path) -> None:
    write_case(raw / "imagesTr" / "z_0000.nii.gz", HIGHER)
    write_case(raw / "labelsTr" / "z.nii.gz", HIGHER)


def one_less(raw: Path) -> None:
    for file in ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"):
        (raw / file).unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (image, "1 of 8 cases changed since (c)."),
        (label, "1 of 8 cases changed since (d)."),
        (a_byte, "1 of 8 cases changed since (a)."),
        (description, "dataset.json changed since."),
        (one_more, "1 new cases (z)."),
        (one_less, "1 of 8 cases gone (b)."),
    ],
)
def test_whatever_is_different_is_named(project: Settings, change: Callable[[Path], None], said: str) -> None:
    change(project.roots.raw / DATASET)
    finding = found(project)
    assert finding.verdict == "changed"
    assert finding.sentence.endswith(said), finding.sentence
    assert found(project, quick=True).verdict == "holds"


def test_where_nnunet_was_given_a_copy_the_users_own_description_counts_too(project: Settings) -> None:
    raw = project.roots.raw / DATASET
    write_splits(raw, SPLITS)
    look_at_raw_data(project.roots, DATASET, 2, Curation())
    assert found(project).verdict == "holds"
    description(raw)
    assert found(project).sentence.endswith("dataset.json changed since.")


def test_what_was_looked_at_since_then_is_different_without_more(whole: Settings) -> None:
    finding = found(whole, wanted="0" * 64)
    assert (finding.verdict, finding.sentence.endswith(": changed since.")) == ("changed", True)


def test_raw_data_that_are_gone_cannot_be_read_again(project: Settings) -> None:
    shutil.rmtree(project.roots.raw / DATASET)
    finding = found(project)
    assert finding.verdict == "unknown"
    assert "As they were looked at last, they were those that the folds were trained on." in finding.sentence


def test_what_was_never_recorded_is_not_read(whole: Settings) -> None:
    assert "was never recorded" in found(whole, wanted=UNKNOWN).sentence


@pytest.mark.parametrize(
    ("wanted", "there", "verdict"),
    [("a", {"a", "b"}, "holds"), ("a", {"b"}, "changed"), ("a", set(), "unknown"), (UNKNOWN, {"a"}, "unknown")],
)
def test_a_digest_is_among_those_that_are_there_or_not(wanted: str, there: set[str], verdict: str) -> None:
    assert input_finding("split", wanted, there, "the split", "no split").verdict == verdict
