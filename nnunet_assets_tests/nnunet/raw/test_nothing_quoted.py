"""Of a file that is no image, nothing is quoted: not in a message, a page, a cache or a log."""

import gzip
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images.image_reader import BY_ENDING
from nnunet_assets.nnunet.images.label_image import label_reader
from nnunet_assets.nnunet.importing.import_files import labels_from_file
from nnunet_assets.nnunet.importing.source_cases import cases_by_list
from nnunet_assets.nnunet.preparation import planning_process
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.reports.pages.intake_files import write_intake
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.raw_builders import DATASET, tiny_image, tiny_json, tiny_label, write_json

SECRET = b"KANARYA:x:0:0:Jane Doe,Room 7:/root:/bin/bash\n"
"""Every four letters of it count: tifffile quotes that many."""

CONTENTS = {
    "a text": 30 * SECRET,
    "a short text": SECRET[:20],
    "a gzipped text": gzip.compress(30 * SECRET),
    "a NIfTI that is none": (348).to_bytes(4, "little") + 30 * SECRET,
    "an NRRD that is none": b"NRRD0004\n" + SECRET,
    "a MetaImage that is none": b"ObjectType = Image\nNDims = 3\n" + SECRET,
    "a TIFF that is none": b"II*\0" + 20 * SECRET,
    "a PNG that is none": b"\x89PNG\r\n\x1a\n" + 20 * SECRET,
    "a bitmap that is none": b"BM" + 20 * SECRET,
}
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".gipl", ".png", ".bmp", ".tif", ".tiff")


def is_quoted(text: str) -> bool:
    secret = SECRET.decode()
    return any(secret[i : i + 4] in text for i in range(len("KANARYA:x:0:0:Jane Doe,Room 7") - 3))


def write_image(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = path.name[path.name.index(".") :]
    if ending in (".png", ".bmp"):
        from skimage import io

        io.imsave(path, voxels[:, :, 3], check_contrast=False)
    elif ending in (".tif", ".tiff"):
        tifffile.imwrite(path, voxels, photometric="minisblack")
    else:
        import SimpleITK

        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path))


def write_dataset(tmp_path: Path, ending: str, dtype: type = np.uint8) -> tuple[Roots, Path]:
    """Returns a good dataset of six cases in a format."""
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    folder = roots.raw / DATASET
    for n in range(6):
        write_image(folder / f"imagesTr/case_{n}_0000{ending}", (50 + 10 * tiny_image(n)).astype(dtype))
        write_image(folder / f"labelsTr/case_{n}{ending}", tiny_label())
    write_json(folder / "dataset.json", tiny_json(6, file_ending=ending))
    return roots, folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_no_image_is_named_and_not_quoted(tmp_path: Path, ending: str) -> None:
    roots, folder = write_dataset(tmp_path, ending)
    places = ("imagesTr/case_3_0000", "labelsTr/case_3", "imagesTr/case_0_0000")
    for number, content in enumerate(CONTENTS.values()):
        bad = folder / f"{places[number % 3]}{ending}"
        before = bad.read_bytes()
        bad.write_bytes(content)
        cache = FactCache(tmp_path / "facts.json")
        printed = StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            found, _ = look_at_raw_data(roots, DATASET, 3, Curation(), cache=cache)
        page, *others = write_intake(tmp_path / "intake", found.report)
        said = [finding.message for finding in found.findings] + [printed.getvalue()]
        said += [file.read_text(errors="replace") for file in (page, *others, tmp_path / "facts.json") if file.exists()]
        assert not any(map(is_quoted, said))
        # A TIFF whose header leads nowhere is an empty one to tifffile; nnU-Net's own check names it.
        if content is not CONTENTS["a TIFF that is none"] or ending != ".tif":
            assert {"D045", "D049"} & {finding.code for finding in found.errors}
        bad.write_bytes(before)


@pytest.mark.parametrize("ending", ENDINGS)
def test_nor_is_a_label_image_of_an_evaluation(tmp_path: Path, ending: str) -> None:
    for reader in BY_ENDING[ending]:
        read = label_reader(reader, ending)
        for content in CONTENTS.values():
            (tmp_path / f"case{ending}").write_bytes(content)
            with pytest.raises(NnunetAssetsError) as caught:
                read(tmp_path / f"case{ending}")
            assert not is_quoted(str(caught.value))


@pytest.mark.parametrize("ending", [".png", ".tif", ".nrrd"])
def test_nor_is_one_that_nnunets_own_check_stumbles_over(tmp_path: Path, ending: str) -> None:
    roots, folder = write_dataset(tmp_path, ending)
    look_at_raw_data(roots, DATASET, 3, Curation())
    for content in (CONTENTS["a text"], CONTENTS[f"a{' PNG' if ending == '.png' else ' TIFF'} that is none"]):
        (folder / f"imagesTr/case_3_0000{ending}").write_bytes(content)
        printed = StringIO()
        with (
            nnunet_in_process({}),
            redirect_stdout(printed),
            redirect_stderr(printed),
            pytest.raises(ChildFailure) as caught,
        ):
            planning_process._verify_integrity(roots.raw / DATASET)
        assert str(caught.value).startswith("nnU-Net's own integrity check does not agree with")
        assert not is_quoted(str(caught.value))
        assert not is_quoted(printed.getvalue())


@pytest.mark.parametrize(
    "read",
    [
        lambda file: cases_by_list(file.parent, file),
        labels_from_file,
        lambda file: GroupTable(file, "case", "patient").read(),
    ],
    ids=["a list of cases", "names of labels", "groups"],
)
def test_nor_is_a_text_in_the_place_of_a_table(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_bytes(30 * SECRET)
    with pytest.raises(NnunetAssetsError) as caught:
        read(tmp_path / "file")
    assert not is_quoted(str(caught.value))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".gipl", ".tiff"])
@pytest.mark.parametrize(("value", "severity"), [(3e38, "error"), (1e4, "warning")])
def test_voxels_of_other_formats_are_looked_at_as_normalization_sees_them(
    tmp_path: Path, ending: str, value: float, severity: str
) -> None:
    roots, folder = write_dataset(tmp_path, ending, np.float32)
    voxels = (50 + 10 * tiny_image(3)).astype(np.float32)
    voxels[1, 2, 5] = value  # axes (Z, Y, X) of these writers
    write_image(folder / f"imagesTr/case_3_0000{ending}", voxels)
    found, _ = look_at_raw_data(roots, DATASET, 3, Curation())
    (finding,) = (one for one in found.findings if one.code == "D033")
    assert (finding.severity, finding.case) == (severity, "case_3")
    assert finding.message.startswith(f"imagesTr/case_3_0000{ending} has {value:.6g} at index (5, 2, 1). ")
