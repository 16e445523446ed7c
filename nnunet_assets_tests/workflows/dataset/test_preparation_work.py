"""What a preparation would read and write, known by and by: before, after a look, and once plans are there."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files import digests
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, PhantomConfig
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw import case_files
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset import preparation_work as module
from nnunet_assets.workflows.dataset.preparation_work import PreparationWork, preparation_work
from nnunet_assets.workflows.dataset.prepare import look_at
from nnunet_assets_tests.prepared_builders import DATASET, write_plans
from nnunet_assets_tests.raw_builders import SHAPE, write_tiny_dataset

DECLARED = DatasetConfig(dataset=DATASET, folds=2)
N_VOXELS = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2]


def work(settings: Settings, configuration: str = "3d_fullres", dataset: DatasetConfig = DECLARED) -> PreparationWork:
    return preparation_work(settings, dataset, ExperimentConfig(dataset=DATASET, configuration=configuration))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.nii.gz"))


def look(settings: Settings, curation: Curation = Curation()) -> None:  # noqa: B008 - frozen
    # What was read of files that were written just now is not kept.
    with patch.object(digests, "SAFETY_SECONDS", 0.0):
        look_at(settings, DATASET, 2, curation, progress=SILENT)


def test_of_raw_data_its_cases_and_their_bytes_are_known(settings: Settings) -> None:
    folder = write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4, n_channels=2)
    found = work(settings)
    assert (found.n_cases, found.raw_bytes, found.saved_bytes) == (4, bytes_of(folder), None)
    assert found.in_words()[0].startswith(f"Preparation reads 4 cases, {bytes_text(bytes_of(folder))} on the disk.")
    assert "not known before the cases are read" in found.in_words()[1]


def test_after_a_look_the_disk_follows_from_the_headers(settings: Settings) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4, n_channels=2)
    look(settings)
    found = work(settings)
    assert (found.saved_bytes, found.is_planned) == ((2 * 2 * N_VOXELS, 7 * N_VOXELS), False)
    assert "for preprocessed cases, by the cases' headers, before nnU-Net crops them" in found.in_words()[1]
    assert work(settings, "3d_lowres").saved_bytes is None


def test_cases_in_quarantine_are_not_counted(settings: Settings) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=5)
    look(settings, Curation(quarantine={"case_0": "a test"}))
    assert (work(settings).n_cases, work(settings).saved_bytes) == (4, (2 * N_VOXELS, round(3.5 * N_VOXELS)))


def test_with_plans_the_disk_follows_from_them(settings: Settings) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)
    prepared = PreparedFolder(settings.roots, DATASET)
    prepared.folder.mkdir(parents=True)
    write_plans(prepared, spacing=[1.0, 1.0, 1.0])
    content = {"shapes_after_crop": [[10, 10, 10]] * 4, "spacings": [[2.0, 1.0, 1.0]] * 4}
    write_json_atomically(prepared.folder / "dataset_fingerprint.json", content)
    found = work(settings)
    assert (found.saved_bytes, found.is_planned) == ((16_000, 28_000), True)
    assert ", by the plans;" in found.in_words()[1]
    write_json_atomically(prepared.folder / "dataset_fingerprint.json", {"spacings": 3})
    assert work(settings).saved_bytes is None


def test_what_is_not_there_is_refused_unless_it_is_generated(settings: Settings) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        work(settings)
    generated = work(settings, dataset=DatasetConfig(dataset=DATASET, phantom=PhantomConfig(cases=5, seed=1)))
    assert (generated.n_cases, generated.saved_bytes) == (None, None)
    assert generated.in_words()[0].startswith("Preparation reads its cases, which are made first.")
    assert generated.free_bytes == pytest.approx(shutil.disk_usage(settings.project).free, rel=0.1)
    (settings.roots.raw / DATASET).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        work(settings)


def test_files_that_are_gone_and_cases_without_a_label_are_counted_as_they_are(settings: Settings) -> None:
    folder = write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)
    (folder / "labelsTr" / "case_1.nii.gz").unlink()
    found = work(settings)
    assert found.raw_bytes == bytes_of(folder)
    assert found.saved_bytes is None
    assert found.is_planned is False


def test_a_folder_that_cannot_be_listed_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)

    def fails(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "imagesTr")

    monkeypatch.setattr(case_files, "find_cases", fails)
    with pytest.raises(DatasetError, match=r"imagesTr cannot be listed: Permission denied\."):
        work(settings)


def test_a_look_that_cannot_be_read_is_passed_over(settings: Settings) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)
    look(settings)
    (PreparedFolder(settings.roots, DATASET).own / "raw.json").write_text("{")
    assert work(settings).n_cases == 4


def test_images_of_two_axes_are_of_one_slice_and_a_millimetre(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)
    shapes = {"case_0": (7, 5), "case_1": (7, 5, 3), "case_2": (1, 2), "case_3": (1, 1)}
    facts = {
        name: SimpleNamespace(geometry=SimpleNamespace(shape=shape, spacing_mm=tuple(n / 2 for n in shape)))
        for name, shape in shapes.items()
    }
    monkeypatch.setattr(FactCache, "known", lambda _, files: facts.get(files.case))
    seen: list[object] = []
    monkeypatch.setattr(module, "unplanned_voxels", lambda sizes, _: seen.append(sizes))
    work(settings)
    assert seen == [
        [
            ((1, 5, 7), (1.0, 2.5, 3.5)),
            ((3, 5, 7), (1.5, 2.5, 3.5)),
            ((1, 2, 1), (1.0, 1.0, 0.5)),
            ((1, 1, 1), (1.0, 0.5, 0.5)),
        ]
    ]
    # Where one is not known, none is.
    for unknown in (None, SimpleNamespace(geometry=None)):
        facts["case_2"] = unknown
        work(settings)
        assert seen[-1] == []


def test_what_is_known_is_said_in_a_line_each() -> None:
    found = PreparationWork(3, 2048, (1024, 4096), is_planned=True, free_bytes=8192)
    assert found.in_words() == [
        "Preparation reads 3 cases, 2.0 KiB on the disk. How long that takes is not known before it is done.",
        "Disk for the preparation: about 1.0 KiB to 4.0 KiB for preprocessed cases, by the plans; 8.0 KiB are free",
    ]
