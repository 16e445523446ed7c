"""What a training from the command line makes where it is not there."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files import digests
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, PhantomConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.splits_config import GroupsConfig, SplitsConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import ConfigError, DatasetError, PlanningError
from nnunet_assets.nnunet.importing import phantom
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw, write_raw
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset import prepare as module
from nnunet_assets.workflows.dataset.prepare import (
    LookedAt,
    Wanted,
    ensure_prepared,
    look,
    plan,
    readiness,
    split,
    takes_split_beside,
)
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


class Noted:
    """Stands for a step that takes long: notes how it was called, and returns what it was given."""

    def __init__(self, found: Any = None) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._found = found

    def __call__(self, *values: Any, **options: Any) -> Any:
        self.calls.append((values, options))
        return self._found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def test_a_phantom_is_made_where_it_is_declared_and_not_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, looked, progress = Noted(), Noted("found"), RecordedProgress()
    monkeypatch.setattr(phantom, "write_phantom", made)
    monkeypatch.setattr(module, "look_at", looked)
    plain = DatasetConfig(dataset=DATASET, folds=3)
    declared = plain.model_copy(update={"phantom": PhantomConfig(cases=7, seed=4)})
    look(settings, plain, progress)
    assert (made.calls, progress.said) == ([], [])
    assert look(settings, declared, progress, rehash=True) == "found"
    assert made.calls == [((settings.roots.raw, DATASET, 7, 4), {})]
    assert progress.said == [f"Generating 7 phantom cases of {DATASET}."]
    (settings.roots.raw / DATASET).mkdir(parents=True)
    look(settings, declared, progress)
    assert len(made.calls) == 1
    assert [values[1:3] for values, _ in looked.calls] == [(DATASET, 3)] * 3
    assert [options["rehash"] for _, options in looked.calls] == [False, True, False]


@pytest.mark.parametrize(
    ("splits", "counts"),
    [(None, True), (BY_PATIENT, True), (SplitsConfig(), True), (SplitsConfig(file="mine.json"), False)],
)
def test_a_split_beside_the_raw_data_counts_where_no_other_is_declared(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, splits: SplitsConfig | None, counts: bool
) -> None:
    dataset, looked = DatasetConfig(dataset=DATASET, splits=splits), Noted()
    monkeypatch.setattr(module, "look_at", looked)
    look(settings, dataset, RecordedProgress())
    assert takes_split_beside(dataset) is looked.calls[0][1]["takes_split"] is counts


def test_the_names_of_the_cases_and_a_split_of_the_users_own_name_what_was_looked_at() -> None:
    def looked_at(cases: list[str], splits: str | None) -> LookedAt:
        found: Any = SimpleNamespace(cases=dict.fromkeys(cases))
        curated: Any = SimpleNamespace(splits_sha256=splits)
        return LookedAt(found, curated, (Path("intake.html"), Path("cases.csv")))

    assert looked_at(["b", "a"], None).names_digest == json_sha256(["a", "b"])
    assert looked_at(["a", "b"], "c").names_digest == json_sha256(["a", "b", "c"])
    assert looked_at([], None).page == Path("intake.html")


@pytest.mark.parametrize(
    ("declared", "on_change", "on_new_cases", "renews"),
    [
        (None, None, "refuse", False),
        (SplitsConfig(on_new_cases="extend"), None, "extend", False),
        (SplitsConfig(on_new_cases="renew"), None, "renew", False),
        (SplitsConfig(on_new_cases="extend"), "refuse", "refuse", False),
        (None, "extend", "extend", False),
        (None, "renew", "renew", True),
    ],
)
def test_a_change_is_met_as_declared_or_as_somebody_says(  # noqa: PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    declared: SplitsConfig | None,
    on_change: Any,
    on_new_cases: str,
    renews: bool,
) -> None:
    roots, prepared = write_prepared(tmp_path)
    made = Noted("made")
    monkeypatch.setattr(module, "ensure_splits", made)
    settings = Settings.from_environment(tmp_path, roots.environment())
    found = split(settings, DatasetConfig(dataset=DATASET, splits=declared), RecordedProgress(), on_change)
    ((values, options),) = made.calls
    assert values[:2] == (settings.roots, DATASET)
    assert (options["on_new_cases"], options["renew"]) == (on_new_cases, renews)
    assert (found.made, found.groups, found.file) == ("made", {}, prepared.folder / "splits_final.json")
    assert found.raw == read_raw(prepared)


def test_planning_is_named_by_the_raw_data_and_the_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots, _ = write_prepared(tmp_path)
    made = Noted(SimpleNamespace(plans_hash="the plans"))
    monkeypatch.setattr(module, "prepare", made)
    settings, wanted = Settings.from_environment(tmp_path, roots.environment()), Wanted("P", ("2d",), ("T",))
    for despite_changes in (False, True):
        options = {"despite_changes": True} if despite_changes else {}
        found = plan(settings, DatasetConfig(dataset=DATASET), wanted, RecordedProgress(), **options)
        assert found.digest == json_sha256(["the raw data", "the plans"])
        assert made.calls[-1][0][1:] == (DATASET, "P")
        assert made.calls[-1][1]["despite_changes"] is despite_changes
    assert made.calls[0][1]["verify_integrity"] == DatasetConfig(dataset=DATASET).verify_integrity


def test_readiness_says_what_is_there_and_writes_nothing(tmp_path: Path) -> None:
    roots, prepared = write_prepared(tmp_path)
    settings = Settings.from_environment(tmp_path, roots.environment())
    whole = readiness(settings, CONFIG)
    assert (whole.raw, whole.is_split) == (read_raw(prepared), True)
    assert whole.dataset is not None
    # Planned for another configuration is not prepared for this one.
    other = readiness(settings, CONFIG.model_copy(update={"configuration": "2d"}))
    assert (other.raw, other.dataset) == (whole.raw, None)
    (prepared.folder / "splits_final.json").unlink()
    assert not readiness(settings, CONFIG).is_split
    (prepared.own / "raw.json").write_text("{")
    damaged = readiness(settings, CONFIG)
    assert (damaged.raw, damaged.dataset) == (None, None)
    write_raw(prepared, replace(read_raw_of(whole.raw), content_hash="other"))
    prepared.plans_file("nnUNetPlans").unlink()
    assert readiness(settings, CONFIG).dataset is None


def read_raw_of(record: Any) -> Any:
    assert record is not None
    return record


def test_whoever_is_asked_before_work_is_asked_before_each_step_and_may_refuse(
    tmp_path: Path, prepared: tuple[Roots, PreparedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, dataset = prepared
    settings = Settings.from_environment(tmp_path, roots.environment())
    project, asked = Project(tmp_path, (), (CONFIG,)), list[str]()

    def ensure_prepared_saying() -> None:
        ensure_prepared(
            settings,
            project,
            CONFIG,
            RecordedProgress(asked.append),
            before_work=lambda: asked.append("work"),
            before_planning=lambda found: asked.append(f"planning of {len(found.raw.cases)}"),
        )

    # Of a dataset that nobody declares, in nnU-Net's own number of folds: too many for four cases.
    with pytest.raises(DatasetError, match="5 folds"):
        ensure_prepared_saying()
    assert asked == ["work", f"Splitting {DATASET} into 5 folds."]
    write_splits(dataset.folder, SPLITS)
    asked.clear()
    ensure_prepared_saying()
    assert asked == []

    planned = Noted()
    monkeypatch.setattr(module, "plan", planned)
    dataset.plans_file("nnUNetPlans").unlink()
    ensure_prepared_saying()
    assert asked == ["work", "planning of 4", f"Planning and preprocessing {DATASET} for nnUNetPlans, 3d_fullres."]
    assert planned.calls[0][0][2] == Wanted("nnUNetPlans", ("3d_fullres",), ("nnUNetTrainer",))
    assert planned.calls[0][1] == {"despite_changes": False}


def test_a_variant_with_sizes_gets_plans_of_its_own_on_the_same_cases_and_nothing_is_made_anew(tmp_path: Path) -> None:
    roots, prepared = write_prepared(tmp_path)
    config = ExperimentConfig(
        dataset=DATASET, configuration="3d_fullres", variant=VariantConfig(name="a", batch_size=7)
    )
    settings, project = Settings.from_environment(tmp_path, roots.environment()), Project(tmp_path, (), (config,))

    ready = readiness(settings, config).dataset
    assert ready is not None
    assert ready.plans.configurations["3d_fullres"]["batch_size"] == 7
    assert not prepared.plans_file("nnUNetPlans_bs7").exists()  # nothing is written for a look

    made, found = ensure_prepared(settings, project, config, RecordedProgress()), module.prepared_for(roots, config)
    assert made.plans == found.plans == prepared.plans("nnUNetPlans_bs7")
    assert found.case_set("3d_fullres").folder == module.prepared_for(roots, CONFIG).case_set("3d_fullres").folder
    unfit = config.model_copy(update={"variant": VariantConfig(name="a", patch_size=[8, 8])})
    with pytest.raises(PlanningError, match="patch_size is 8x8, and 3d_fullres has 3 axes"):
        ensure_prepared(settings, project, unfit, RecordedProgress())
