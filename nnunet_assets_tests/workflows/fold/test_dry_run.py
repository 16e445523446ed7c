"""What a training would do, found out without a trace."""

import fcntl
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import ConfigError, DatasetError, DeviceError, FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.machine import torch_devices
from nnunet_assets.processes.machine.torch_devices import TorchDevices
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold import dry_run as module
from nnunet_assets.workflows.fold.dry_run import DryRun, dry_run
from nnunet_assets.workflows.fold.train import AskedNow
from nnunet_assets_tests.cli.fold.test_opened_files import write_finished
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT, dataset_of, write_prepared
from nnunet_assets_tests.raw_builders import write_tiny_dataset

CONFIG = ExperimentConfig(dataset=DATASET, configuration="3d_fullres", device="cpu")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project whose data is prepared."""
    roots, _ = write_prepared(tmp_path)
    return Settings.from_environment(tmp_path, roots.environment())


def asked(
    settings: Settings, now: AskedNow | None = None, *, fold: str = "fold_0", config: ExperimentConfig = CONFIG
) -> DryRun:
    """Returns what would be done, and sees that nothing was."""
    before = traces(settings.project)
    try:
        return dry_run(settings, Project(settings.project, (), ()), config, fold, now or AskedNow())
    finally:
        assert traces(settings.project) == before


def traces(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def interrupted(roots: Roots, n_epochs: int, fold: str = "fold_0") -> None:
    inputs = fold_inputs(dataset_of(roots), EXPERIMENT, fold, CONFIG.training_hash())
    folder = EXPERIMENT.fold_folder(roots, fold)
    write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": vars(inputs), "attempt": "first"})
    append_record(journal_path(folder), "start", {"params": {"trainer": {"num_epochs": 50}}})
    for epoch in range(n_epochs):
        append_record(journal_path(folder), "epoch", {"epoch_seconds": 20.0}, epoch)
    (folder / ".nnunet_assets" / "saved_epochs").write_text(str(n_epochs))


def test_of_data_that_nobody_looked_at_everything_is_to_be_made(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    with pytest.raises(DatasetError, match=f"There is no {DATASET}|does not exist"):
        asked(settings)
    write_tiny_dataset(settings.roots.raw, DATASET)
    found = asked(settings)
    assert found.steps == (
        f"Reading every case of {DATASET} that has changed since it was last read.",
        f"Splitting {DATASET} into 5 folds.",
        f"Planning {DATASET} for nnUNetPlans and preprocessing its cases for 3d_fullres.",
        "Training from the beginning.",
        "Predicting and scoring the fold's validation cases.",
    )
    assert (found.epochs_left, found.seconds, found.disk_bytes, found.device) == (1000, None, None, "cpu")
    assert "This was a dry run: nothing was written." in found.in_words()
    assert set(found.preparation.in_words()) < set(found.in_words())
    assert found.to_json()["preparation"]["n_cases"] == 6


def test_what_is_prepared_is_not_made_again_and_the_full_model_is_scored_on_its_own_cases(settings: Settings) -> None:
    assert asked(settings).steps == (
        "Training from the beginning.",
        "Predicting and scoring the fold's validation cases.",
    )
    assert asked(settings).preparation is None
    assert asked(settings, fold="fold_all").steps[-1] == "Predicting and scoring every case, on which it was trained."
    write_tiny_dataset(settings.roots.raw, DATASET, n_cases=4)
    planned = asked(settings, config=CONFIG.model_copy(update={"configuration": "2d"}))
    assert planned.steps[0] == f"Planning {DATASET} for nnUNetPlans and preprocessing its 4 cases for 2d."


def test_an_interrupted_fold_says_from_which_epoch_and_how_long(settings: Settings) -> None:
    interrupted(settings.roots, 20)
    found = asked(settings)
    assert found.steps[0].startswith("Interrupted before; going on from its last checkpoint")
    assert found.steps[0].endswith("20 epochs are trained.")
    assert (found.epochs_left, found.seconds) == (30, pytest.approx(600.0))
    assert "about 10:00, by what epochs" in "\n".join(found.in_words())
    anew = asked(settings, AskedNow(retrain=True))
    assert (anew.epochs_left, anew.steps[0][:14]) == (50, "Training anew;")
    # The other fold is of the same model.
    assert asked(settings, fold="fold_1", config=CONFIG).seconds == pytest.approx(20_000.0)


def test_the_time_is_by_the_folds_own_epochs_else_by_the_slowest_of_the_others(settings: Settings) -> None:
    model, of_validation = write_finished(settings.roots).parent, 1.5
    # One that is cut off has no time.
    for fold, values in [("fold_0", 40.0), ("fold_0", 30.0), ("fold_0", None), ("fold_2", 10.0)]:
        append_record(journal_path(model / fold), "epoch", {"epoch_seconds": values} if values else {}, 1)
    assert asked(settings, fold="fold_1").seconds == pytest.approx(1000 * 30.0 + of_validation)
    # How many epochs another trainer has, it does not say beforehand.
    shutil.copytree(model, model.with_name(model.name.replace("nnUNetTrainer", "nnUNetTrainerOwn")))
    own = asked(settings, fold="fold_1", config=CONFIG.model_copy(update={"trainer": "nnUNetTrainerOwn"}))
    assert (own.epochs_left, own.seconds) == (None, None)
    interrupted(settings.roots, 20, "fold_1")
    assert asked(settings, fold="fold_1").seconds == pytest.approx(30 * 20.0 + of_validation)


def test_the_time_holds_what_is_known_of_the_validation_before_any_fold_ends(settings: Settings) -> None:
    interrupted(settings.roots, 20)
    folder = EXPERIMENT.fold_folder(settings.roots, "fold_0")
    ValidationWork({"a": 10, "b": 20}, epoch_passes=10.0, device="cpu").write(folder)
    # 30 passes, of which 10 take as long as an epoch.
    assert asked(settings).seconds == pytest.approx(30 * 20.0 + 3 * 20.0)


def test_a_finished_fold_needs_nothing_but_what_is_asked(settings: Settings) -> None:
    folder = write_finished(settings.roots)
    found = asked(settings)
    assert (found.steps, found.epochs_left) == ((), 0)
    assert "finished already; nothing would be done" in found.in_words()[0]
    again = asked(settings, AskedNow(validation_only=True))
    assert (again.steps[0], again.epochs_left) == ("Predicting and scoring the validation cases again.", 0)
    assert asked(settings, AskedNow(retrain=True)).steps[0].startswith("Training anew")
    assert found.folder == folder


def test_what_would_be_refused_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FoldError, match="fold_2 does not exist; the splits of Dataset951_Records have fold_0, fold_1"):
        asked(settings, fold="fold_2")
    with pytest.raises(ConfigError, match="validation_only and retrain cannot be set together"):
        asked(settings, AskedNow(retrain=True, validation_only=True))
    monkeypatch.setattr(torch_devices, "torch_devices", lambda _: TorchDevices("2.0", (), has_mps=False))
    with pytest.raises(DeviceError, match="Device 'cuda' was asked for"):
        asked(settings, AskedNow(device="cuda"))
    interrupted(settings.roots, 1)
    seeded = CONFIG.model_copy(update={"variant": VariantConfig(name="seeded", seed=1)})
    assert asked(settings, config=seeded).seconds is None
    with fold_lease(EXPERIMENT.place_of(settings.roots, "fold_0")):
        pass  # which leaves the lock's file
    lock = EXPERIMENT.summary_folder(settings.roots) / "fold_0.lock"
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as another process does
        with pytest.raises(FoldError, match="fold_0 is being trained by another process now"):
            asked(settings)
    assert asked(settings).steps


def test_the_command_says_it_in_words_and_as_json(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.roots.environment().items():
        monkeypatch.setenv(name, value)
    command = ["train", "951", "3d_fullres", "0", "-device", "cpu", "--dry-run", "--project", str(settings.project)]
    before = traces(settings.project)
    said, as_json = CliRunner().invoke(main, command), CliRunner().invoke(main, [*command, "--json"])
    assert traces(settings.project) == before
    assert (said.exit_code, as_json.exit_code) == (0, 0)
    assert "  1. Training from the beginning." in said.stdout
    content = json.loads(as_json.stdout)
    assert (content["status"], content["epochs_left"], content["fold"]) == ("dry run", 1000, "0")
    assert content["folder"] == str(EXPERIMENT.fold_folder(settings.roots, "fold_0"))


def words_of(**changes: Any) -> list[str]:
    whole: dict[str, Any] = {
        "title": "A fold",
        "steps": ("Training.",),
        "device": "cpu",
        "epochs_left": 5,
        "seconds": 61.0,
        "disk_bytes": 3_000_000,
        "free_bytes": 4_000_000,
        "folder": Path("fold"),
        "preprocessed": Path("prepared"),
    }
    return DryRun(**{**whole, **changes}).in_words()


def test_what_is_known_is_said_and_what_is_not_is_said_to_be_not() -> None:
    assert words_of() == [
        "A fold, 5 epochs:",
        "  1. Training.",
        "Device: cpu",
        "Time for training and validation: about 1:01, by what epochs of this model's folds took here",
        f"Disk for the fold: about {bytes_text(3_000_000)} for checkpoints; {bytes_text(4_000_000)} are free at fold",
        "Prepared data: prepared",
        "This was a dry run: nothing was written.",
    ]
    unknown = words_of(epochs_left=None, seconds=None, disk_bytes=None)
    assert unknown[0] == "A fold:"
    assert unknown[3].endswith("not known before the first epoch of a fold of this model")
    assert "not known before the first checkpoint; three of them are there at once; " in unknown[4]
    assert words_of(epochs_left=0)[0] == "A fold:"
    assert words_of(steps=())[0] == "A fold: finished already; nothing would be done. --retrain trains it anew."
    assert words_of(seconds=0.0)[3].startswith("Time for training and validation: about 0:00")


@pytest.mark.parametrize(
    ("device", "gpus", "n", "said"),
    [
        ("cpu", ["a"], 1, "cpu"),
        ("mps", ["a"], 1, "mps"),
        ("cuda", [], 1, "cuda"),
        ("auto", [], 1, "a GPU where torch finds one, else the CPU; `nvidia-smi` names none"),
        ("cuda", ["a", "b"], 2, "2 of these as they are free: A100, a GPU"),
        ("auto", ["a"], 1, "1 of these as they are free: A100"),
    ],
)
def test_a_device_is_named_as_far_as_it_is_known(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, device: str, gpus: list[str], n: int, said: str
) -> None:
    monkeypatch.setattr(module, "usable_gpus", lambda _: [SimpleNamespace(uuid=uuid) for uuid in gpus])
    monkeypatch.setattr(module, "gpu_models", lambda _: {"a": "A100"})
    assert module._device_in_words(device, settings, n) == said


def test_what_other_versions_trained_is_looked_at_but_where_it_is_trained_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    monkeypatch.setattr(module, "check_versions", lambda _, *, despite_changes: looked.append(despite_changes))
    asked(settings)
    asked(settings, AskedNow(despite_changes=True))
    asked(settings, AskedNow(retrain=True))
    assert looked == [False, True]


def test_a_fold_of_data_that_is_not_prepared_is_gone_on_with_or_refused_then(settings: Settings) -> None:
    interrupted(settings.roots, 3)
    (settings.roots.preprocessed / DATASET / "splits_final.json").unlink()
    found = asked(settings)
    assert found.steps == (
        f"Splitting {DATASET} into 5 folds.",
        "Going on with what is there, if it is of the data that is prepared then; else it is refused.",
        "Predicting and scoring the fold's validation cases.",
    )
    assert asked(settings, AskedNow(retrain=True)).steps[1] == "Training from the beginning."
    assert found.preparation is None


def test_a_declared_dataset_is_split_as_it_is_declared(settings: Settings) -> None:
    (settings.roots.preprocessed / DATASET / "splits_final.json").unlink()
    datasets = tuple(DatasetConfig(dataset=name, folds=n) for name, n in (("Dataset000_Other", 4), (DATASET, 3)))
    project = Project(settings.project, datasets, ())
    assert dry_run(settings, project, CONFIG, "fold_0", AskedNow()).steps[0] == f"Splitting {DATASET} into 3 folds."


@pytest.mark.parametrize(("n_done", "left"), [(0, 50), (1, 49), (49, 1), (50, 0), (60, 0)])
def test_no_fewer_than_no_epochs_are_left(settings: Settings, n_done: int, left: int) -> None:
    interrupted(settings.roots, n_done)
    found = asked(settings)
    assert found.epochs_left == left
    assert f"{n_done} epochs are trained." in found.steps[0]


def test_before_an_epoch_is_saved_all_are_left(settings: Settings) -> None:
    interrupted(settings.roots, 0)
    (EXPERIMENT.fold_folder(settings.roots, "fold_0") / ".nnunet_assets" / "saved_epochs").unlink()
    found = asked(settings)
    assert found.epochs_left == 50
    assert found.steps[0].endswith(" 0 epochs are trained.")


def test_the_first_start_says_how_many_epochs_there_are_unless_a_variant_does(settings: Settings) -> None:
    interrupted(settings.roots, 20)
    folder = EXPERIMENT.fold_folder(settings.roots, "fold_0")
    append_record(journal_path(folder), "start", {"params": {"trainer": {"num_epochs": 70}}})
    append_record(journal_path(folder), "end", {"params": {"trainer": {"num_epochs": 80}}})
    assert asked(settings).epochs_left == 30
    variant = CONFIG.model_copy(update={"variant": VariantConfig(name="short", num_epochs=5)})
    assert asked(settings, config=variant).epochs_left == 5


def test_a_validation_that_nothing_is_known_of_takes_no_time(settings: Settings) -> None:
    interrupted(settings.roots, 20)
    ValidationWork({}, epoch_passes=10.0, device="cpu").write(EXPERIMENT.fold_folder(settings.roots, "fold_0"))
    assert asked(settings).seconds == pytest.approx(30 * 20.0)


def test_a_finished_fold_whose_checkpoint_was_changed_is_not_finished(settings: Settings) -> None:
    folder = write_finished(settings.roots)
    (folder / "checkpoint_final.pth").write_bytes(b"changed")
    with pytest.raises(FoldError):
        asked(settings)
