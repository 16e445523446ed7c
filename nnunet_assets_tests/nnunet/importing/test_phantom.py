import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.importing import phantom
from nnunet_assets.nnunet.importing.phantom import make_case, write_phantom
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset

DATASET = "Dataset901_Phantom"


def digests(folder: Any) -> Any:
    return {path.relative_to(folder): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_a_phantom_is_a_dataset_without_findings(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path / "raw", DATASET, n_cases=10)
    found = inspect_raw_dataset(tmp_path / "raw", DATASET, n_folds=5)
    assert found.folder == folder
    assert found.findings == ()
    assert found.n_cases == 10
    assert found.description.foreground == ("organ", "lesion")


def test_shapes_and_spacings_vary_and_are_anisotropic(tmp_path: Path) -> None:
    write_phantom(tmp_path, DATASET, n_cases=10)
    found = inspect_raw_dataset(tmp_path, DATASET, n_folds=5)
    for axis, (shape, spacing_mm) in enumerate([(24, 1.35), (29, 1.35), (18, 2.7)]):
        assert shape - 2 <= found.shape[axis].minimum < found.shape[axis].maximum <= shape + 2
        assert spacing_mm * 0.94 < found.spacing_mm[axis].minimum < found.spacing_mm[axis].maximum < spacing_mm * 1.06


def test_some_cases_have_no_lesion_and_all_have_an_organ(tmp_path: Path) -> None:
    write_phantom(tmp_path, DATASET, n_cases=15)
    labels = inspect_raw_dataset(tmp_path, DATASET, n_folds=5).labels
    assert (labels["organ"].n_cases, labels["lesion"].n_cases) == (15, 12)
    assert labels["organ"].volume_ml.minimum > 2 * labels["lesion"].volume_ml.maximum


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    first = write_phantom(tmp_path / "1", DATASET, n_cases=5, seed=3)
    second = write_phantom(tmp_path / "2", DATASET, n_cases=5, seed=3)
    other = write_phantom(tmp_path / "3", DATASET, n_cases=5, seed=4)
    assert digests(first) == digests(second)
    assert not set(digests(first).values()) & set(digests(other).values())


def test_more_cases_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    few = digests(write_phantom(tmp_path / "few", DATASET, n_cases=5) / "imagesTr")
    many = digests(write_phantom(tmp_path / "many", DATASET, n_cases=6) / "imagesTr")
    assert few.items() < many.items()


def test_labels_stand_out_from_the_noise_around_them() -> None:
    case = make_case(seed=0, index=0)
    lesion, organ = case.image[case.label == 2], case.image[case.label == 1]
    background = case.image[case.label == 0]
    assert lesion.mean() - organ.mean() > 2 * organ.std()
    assert organ.mean() > background.mean()
    assert background.min() >= 0
    # The bias field: one tissue is not equally bright everywhere.
    assert organ.std() > phantom._NOISE_SD


def test_the_image_lies_where_its_spacing_says(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, DATASET, n_cases=5)
    case = make_case(seed=0, index=2)
    volume = read_volume(folder / "imagesTr/phantom_002_0000.nii.gz")
    np.testing.assert_array_equal(volume.stored, case.image)
    assert volume.header.get_zooms() == pytest.approx(case.spacing_mm)
    assert volume.header.get_xyzt_units()[0] == "mm"


def test_a_phantom_that_is_there_is_not_touched(tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, DATASET, n_cases=5)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_phantom(tmp_path, DATASET, n_cases=5) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_phantom_of_other_settings_is_refused(tmp_path: Path) -> None:
    write_phantom(tmp_path, DATASET, n_cases=5)
    with pytest.raises(DatasetError, match=r"exists and was generated with other settings, \{'cases': 5, 'seed': 0\}"):
        write_phantom(tmp_path, DATASET, n_cases=6)


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"labels": {}})])
def test_a_dataset_of_the_users_own_is_refused(tmp_path: Path, content: Any) -> None:
    (tmp_path / DATASET).mkdir()
    if content is not None:
        (tmp_path / DATASET / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=r"Dataset901_Phantom exists and is not a generated one"):
        write_phantom(tmp_path, DATASET)
    assert [path.name for path in tmp_path.iterdir()] == [DATASET]


def test_a_taken_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dataset901_Mine").mkdir()
    with pytest.raises(DatasetError, match=r"The id of Dataset901_Phantom is taken by Dataset901_Mine"):
        write_phantom(tmp_path, DATASET)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_interrupted_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: Any
) -> None:
    def interrupted_at_the_third(seed: int, index: Any) -> Any:
        if index == 2:
            raise interruption
        return make_case(seed, index)

    monkeypatch.setattr(phantom, "make_case", interrupted_at_the_third)
    with pytest.raises(interruption):
        write_phantom(tmp_path, DATASET, n_cases=5)
    assert list(tmp_path.iterdir()) == []
