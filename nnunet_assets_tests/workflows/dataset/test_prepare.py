"""What a training from the command line makes where it is not there."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

from nnunet_assets.core.files import digests
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.splits_config import GroupsConfig, SplitsConfig
from nnunet_assets.errors import ConfigError, PlanningError
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw, write_raw
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset import prepare as module
from nnunet_assets.workflows.dataset.prepare import Wanted, ensure_prepared
from nnunet_assets_tests.prepared_builders import DATASET, SPLITS, write_plans, write_prepared
from nnunet_assets_tests.raw_builders import tiny_label, write_tiny_dataset, write_volume
from nnunet_assets_tests.recorded_progress import RecordedProgress

CONFIG = ExperimentConfig(dataset=DATASET, configuration="3d_fullres")
BY_PATIENT = SplitsConfig(groups=GroupsConfig(file="patients.csv", column="patient"))


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Roots, PreparedFolder]:
    """A dataset of the cases a, b, c, d that lacks nothing but its split."""
    roots, prepared = write_prepared(tmp_path)
    (prepared.folder / "splits_final.json").unlink()
    return roots, prepared


def ensure_saying(folder: Path, roots: Roots, say: Callable[[str], object]) -> None:
    """Prepares as for a fold, of a project that keeps patients together."""
    project = Project(folder, (DatasetConfig(dataset=DATASET, folds=2, splits=BY_PATIENT),), (CONFIG,))
    ensure_prepared(Settings.from_environment(folder, roots.environment()), project, CONFIG, RecordedProgress(say))


def ensure(folder: Path, roots: Roots) -> list[str]:
    """Prepares as `ensure_saying`, and returns what is said."""
    said: list[str] = []
    ensure_saying(folder, roots, said.append)
    return said


def test_a_missing_split_is_made_as_declared_and_one_that_is_there_is_left_alone(
    tmp_path: Path, prepared: tuple[Roots, PreparedFolder]
) -> None:
    (tmp_path / "patients.csv").write_text("case,patient\na,anna\nc,anna\nb,ben\nd,ben\n")

    assert ensure(tmp_path, prepared[0]) == [f"Splitting {DATASET} into 2 folds."]

    path = prepared[1].folder / "splits_final.json"
    assert sorted(fold["val"] for fold in json.loads(path.read_text())) == [["a", "c"], ["b", "d"]]
    path.write_text("mine")
    assert ensure(tmp_path, prepared[0]) == []
    assert path.read_text() == "mine"


def test_what_the_declaration_lacks_is_said_before_anything_is_made(
    tmp_path: Path, prepared: tuple[Roots, PreparedFolder]
) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*patients\.csv"):
        ensure(tmp_path, prepared[0])
    assert not (prepared[1].folder / "splits_final.json").exists()


def test_who_waited_for_another_that_looks_and_splits_finds_what_that_one_made(
    tmp_path: Path, prepared: tuple[Roots, PreparedFolder]
) -> None:
    roots, dataset = prepared
    record, said = read_raw(dataset), Queue[str]()
    (dataset.own / "raw.json").unlink()
    with ThreadPoolExecutor(1) as pool:
        with dataset.preparing(RecordedProgress(pytest.fail)):
            waiting = pool.submit(ensure_saying, tmp_path, roots, said.put)
            assert said.get(timeout=60) == (f"{DATASET} is being prepared by another process; waiting for it.")
            write_raw(dataset, record)
            write_splits(dataset.folder, SPLITS)
        # There are neither raw data to look at nor the file of the patients to split by.
        waiting.result()
    assert said.empty()


@pytest.mark.parametrize("what", ["a case", "a reference", "plans"])
def test_what_a_fold_would_refuse_is_prepared_again(
    tmp_path: Path, prepared: tuple[Roots, PreparedFolder], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked: list[str] = []

    def plan_again(_settings: Settings, _dataset: DatasetConfig, wanted: Wanted, *_: object, **_how: object) -> None:
        asked.append(wanted.plans)
        write_plans(prepared[1])

    monkeypatch.setattr(module, "plan", plan_again)
    (prepared[1].folder / "splits_final.json").write_text("mine")
    assert (ensure(tmp_path, prepared[0]), asked) == ([], [])
    cases = PreparedDataset.read(prepared[1], "nnUNetPlans").case_set("3d_fullres").cases
    {"a case": cases / "b.pkl", "a reference": prepared[1].references / "b.nii.gz"}.get(
        what, prepared[1].plans_file("nnUNetPlans")
    ).write_text("{")  # as nnU-Net leaves plans that it is writing

    assert ensure(tmp_path, prepared[0]) == [f"Planning and preprocessing {DATASET} for nnUNetPlans, 3d_fullres."]

    assert asked == ["nnUNetPlans"]


def test_cases_that_were_read_before_are_not_read_again_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    folder = write_tiny_dataset(roots.raw, n_cases=6)
    config = ExperimentConfig(dataset=folder.name, configuration="3d_fullres")
    project = Project(tmp_path, (DatasetConfig(dataset=folder.name),), (config,))
    # An error, so that planning is not reached.
    write_volume(folder / "labelsTr" / "case_0.nii.gz", tiny_label() + 7)
    settings, progress = Settings.from_environment(tmp_path, roots.environment()), RecordedProgress()

    for _ in range(2):
        with pytest.raises(PlanningError, match="not fit to be trained on"):
            ensure_prepared(settings, project, config, progress)

    page = PreparedFolder(roots, folder.name).intake_folder / "intake.html"
    assert page.exists()
    counts = [sentence for sentence in progress.said if sentence.endswith(f"The report is in {page}")]
    assert ["cases read: 6." in counts[0], "cases read: 0." in counts[1]] == [True, True]
