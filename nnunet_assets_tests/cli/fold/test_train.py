"""One fold from the command line: what nnU-Net's users type, what it means, and what they see of a training."""

import fcntl
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from click import NoSuchOption
from click.testing import CliRunner, Result

from nnunet_assets.cli.fold import train as train_module
from nnunet_assets.cli.fold.train import train
from nnunet_assets.cli.fold.train_flags import Flags
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FoldInputs, read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.named_fold import NamedFold, chosen_experiment, undeclared_remark
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.preparation import planning
from nnunet_assets.nnunet.preparation.planning_process import prepare_dataset
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine import torch_devices
from nnunet_assets.processes.machine.torch_devices import TorchDevices
from nnunet_assets_tests.fakes.fold_child import Ends, played
from nnunet_assets_tests.nnunet_in_process import child_in_process
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT, dataset_of, write_prepared
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

HIPPOCAMPUS = "Dataset004_Hippocampus"
SEEDED = ExperimentConfig(
    dataset=HIPPOCAMPUS, configuration="2d", device="cpu", variant=VariantConfig(name="seeded", seed=1, num_epochs=5)
)
PROJECT = Project(
    Path("/project"),
    (DatasetConfig(dataset=HIPPOCAMPUS),),
    (ExperimentConfig(dataset=HIPPOCAMPUS, configuration="2d", npz=True), SEEDED),
)


@pytest.fixture(autouse=True)
def _no_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nnU-Net's variables, the data lies in the project."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def flags(*arguments: str) -> Flags:
    """Returns what is typed after `nnunet-assets train 4 2d 0`."""
    return Flags(**train.make_context("train", ["4", "2d", "0", *arguments]).params)


def chosen(*arguments: str) -> ExperimentConfig:
    return chosen_experiment(flags(*arguments).named, HIPPOCAMPUS, PROJECT)


# --- flags --------------------------------------------------------------------------------------------------------


def test_nnunets_flags_are_typed_as_with_nnunet() -> None:
    typed = (
        "-tr MyTrainer -p MyPlans -pretrained_weights /w/a.pth -num_gpus 2 --npz --c --val --val_best --use_compressed "
        "--disable_checkpointing -device mps --tracker-disable"
    )

    given = flags(*typed.split())

    assert (given.dataset, given.configuration, given.fold) == ("4", "2d", "0")
    assert (given.trainer, given.plans, given.pretrained_weights) == ("MyTrainer", "MyPlans", "/w/a.pth")
    assert (given.num_gpus, given.device) == (2, "mps")
    assert given.npz
    assert given.continue_training
    assert given.validation_only
    assert given.val_best
    assert given.use_compressed
    assert given.disable_checkpointing
    assert given.tracker_disable


def test_flags_may_stand_before_the_arguments() -> None:
    params = train.make_context(
        "train", ["-tr", "MyTrainer", "--npz", "4", "3d_fullres", "all", "-device", "cpu"]
    ).params

    assert [params[name] for name in ("dataset", "configuration", "fold", "trainer")] == [
        "4",
        "3d_fullres",
        "all",
        "MyTrainer",
    ]


# --- which experiment ---------------------------------------------------------------------------------------------


def test_a_declared_experiment_is_trained_as_declared() -> None:
    assert chosen() == PROJECT.experiments[0]
    assert chosen("--variant", "seeded") == SEEDED
    assert chosen("--variant", "seeded", "--seed", "1") == SEEDED


def test_what_does_not_change_the_result_may_differ_from_the_declaration() -> None:
    config = chosen("--variant", "seeded", "-num_gpus", "2", "--disable_checkpointing", "--tensorboard")

    assert (config.num_gpus, config.disable_checkpointing, config.tensorboard) == (2, True, True)
    assert config.training_hash() == SEEDED.training_hash()


def test_what_changes_the_result_may_not() -> None:
    with pytest.raises(ConfigError, match=r"is declared with seed 1, and the command line says 2\. Its folds must"):
        chosen("--variant", "seeded", "--seed", "2")
    with pytest.raises(ConfigError, match="is declared with deterministic False, and the command line says True"):
        chosen("--variant", "seeded", "--deterministic")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("--seed 7", "seed7"),
        ("--seed 0 --deterministic --patience 50", "seed0-deterministic-patience50"),
        ("--patience 50 --restore-best", "patience50-best"),
        ("-pretrained_weights /w/a.pth", "pretrained"),
        ("--seed 7 --variant mine", "mine"),
    ],
)
def test_flags_that_change_the_result_make_a_variant_of_their_own(typed: str, name: str) -> None:
    config = chosen(*typed.split())

    assert config.identity.variant == name
    assert config.variant
    assert config.variant.options() == flags(*typed.split()).named.changing


def test_flags_alone_define_what_is_not_declared() -> None:
    config = chosen("-tr", "MyTrainer", "-num_gpus", "3")

    assert config == ExperimentConfig(dataset=HIPPOCAMPUS, configuration="2d", trainer="MyTrainer", num_gpus=3)


def test_a_variant_that_is_neither_declared_nor_made_of_flags_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"is not declared in /project\. Did you mean seeded\? Declared variants: seeded\."
    ):
        chosen("--variant", "seed")


LONGER = ExperimentConfig(dataset=HIPPOCAMPUS, configuration="3d_fullres", plans="nnUNetResEncUNetMPlans")
SHORT = LONGER.model_copy(update={"variant": VariantConfig(name="short", num_epochs=5), "trainer": "MyTrainer"})
WITHOUT_DEFAULT = Project(Path("/project"), PROJECT.datasets, (LONGER, SHORT, SEEDED))


@pytest.mark.parametrize(
    ("typed", "meant", "others"),
    [
        ("3d_fullres", ["-p nnUNetResEncUNetMPlans", "--variant short -tr MyTrainer -p nnUNetResEncUNetMPlans"], "2d"),
        ("3d_fullres -tr MyTrainer", ["--variant short -tr MyTrainer -p nnUNetResEncUNetMPlans"], "\n    -p"),
        ("2d -p nnUNetPlans -tr nnUNetTrainer", ["--variant seeded"], "short"),
        ("3d_fullres --variant short", ["--variant short -tr MyTrainer -p nnUNetResEncUNetMPlans"], "--undeclared"),
    ],
)
def test_what_is_typed_does_not_begin_1000_epochs_where_a_declared_experiment_is_meant(
    typed: str, meant: list[str], others: str
) -> None:
    named = named_as(typed)
    with pytest.raises(ConfigError, match="declares others that are all that is typed and more") as refused:
        chosen_experiment(named, HIPPOCAMPUS, WITHOUT_DEFAULT)
    for flags_of_it in meant:
        assert f"\n    {flags_of_it}\n" in f"{refused.value}\n"
    assert others not in str(refused.value)


def test_every_choice_that_is_offered_names_the_experiment() -> None:
    for declared in WITHOUT_DEFAULT.experiments:
        with pytest.raises(ConfigError) as refused:
            chosen_experiment(named_as(declared.configuration), HIPPOCAMPUS, WITHOUT_DEFAULT)
        choices = [line.strip() for line in str(refused.value).splitlines() if line.startswith("    ")]
        named = [named_as(f"{declared.configuration} {choice}") for choice in choices]
        assert declared in [chosen_experiment(one, HIPPOCAMPUS, WITHOUT_DEFAULT) for one in named]


def test_an_undeclared_experiment_is_trained_where_nothing_declared_can_be_meant_or_by_word() -> None:
    for typed in ("3d_fullres --undeclared", "3d_lowres", "3d_fullres -tr Another", "3d_fullres --seed 1"):
        config = chosen_experiment(named_as(typed), HIPPOCAMPUS, WITHOUT_DEFAULT)
        remark = undeclared_remark(config.identity, WITHOUT_DEFAULT)
        assert remark
        assert (
            f"{config.trainer} sets the rest itself (nnU-Net's own: 1000 epochs). Declared on {HIPPOCAMPUS}" in remark
        )
        assert "short/MyTrainer__nnUNetResEncUNetMPlans__3d_fullres" in remark
    assert undeclared_remark(LONGER.identity, WITHOUT_DEFAULT) is None


def named_as(typed: str) -> NamedFold:
    return Flags(**train.make_context("train", ["4", *typed.split(), "0"]).params).named


def test_names_that_nnunet_could_not_split_are_refused() -> None:
    with pytest.raises(ConfigError, match="trainer: 'My__Trainer'"):
        chosen("-tr", "My__Trainer")


# --- what is there already ----------------------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    """A dataset whose records say that it is prepared, found by nnU-Net's variables alone."""
    roots, _ = write_prepared(tmp_path)
    for name, value in roots.environment().items():
        monkeypatch.setenv(name, value)
    return roots


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_a_kill_interrupts_it_though_a_script_in_the_background_ignores_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "_train", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = run("4", "2d", 0, "--json")
    finally:
        signal.signal(signal.SIGINT, before)

    assert result.exit_code == 130
    assert json.loads(result.stdout)["status"] == "interrupted"


def test_a_training_with_other_settings_is_not_put_aside_unasked(prepared: Roots, tmp_path: Path) -> None:
    inputs = fold_inputs(dataset_of(prepared), EXPERIMENT, "fold_0", "other settings")
    request = EXPERIMENT.fold_folder(prepared, "fold_0") / ".nnunet_assets" / "request.json"
    write_json_atomically(request, {"inputs": vars(inputs), "attempt": "first"})

    result = run("951", "3d_fullres", 0, "--project", tmp_path)

    assert result.exit_code == 1
    assert (
        "fold_0 holds a training with other training settings. It is kept as it is. --retrain trains" in result.stderr
    )
    assert json.loads(request.read_text())["attempt"] == "first"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["0", "--c", "--val"], "--c and --val cannot be set together, as in nnU-Net"),
        (["0", "--c", "-pretrained_weights", "a.pth"], "--c cannot be set together with pretrained weights, as in nnU"),
        (["0", "-num_gpus", "2", "-device", "cpu"], "num_gpus is 2, and the device is 'cpu'"),
        (["0", "-pretrained_weights", "/no/a.pth"], "The pretrained weights /no/a.pth cannot be read: No such file"),
        (["0", "--val"], "Only a fold that is trained to its end can be validated"),
        (["5"], "fold_5 does not exist; the splits of Dataset951_Records have fold_0, fold_1."),
        (["9"], "fold_9 does not exist; the splits of Dataset951_Records have fold_0, fold_1."),
        (["-1"], NoSuchOption("-1").format_message()),
        (["a"], "FOLD is 'a'. It is the number of a fold, such as 0, or all: a model on every case."),
        (["0.5"], "FOLD is '0.5'. It is the number of a fold, such as 0, or all: a model on every case."),
        (["0", "-device", "tpu"], "'tpu' is not one of 'cuda', 'cpu', 'mps'"),
    ],
)
def test_what_cannot_be_is_refused_with_1(prepared: Roots, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = run(DATASET, "3d_fullres", *arguments, "--project", tmp_path)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not prepared.results.exists()


def test_a_failure_is_json_too_where_json_is_asked_for(prepared: Roots, tmp_path: Path) -> None:
    result = run("951", "3d_fullres", "5", "--project", tmp_path, "--json")

    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["status"], said["dataset"], said["fold"]) == ("failed", "951", "5")
    assert "fold_5 does not exist" in said["error"]


def test_a_folder_that_is_no_project_is_one_only_with_nnunets_variables(tmp_path: Path) -> None:
    result = run("4", "2d", "0", "--project", tmp_path)
    assert (result.exit_code, "is not a project" in result.stderr) == (1, True)


# --- from the declaration to the result: all but the processes that run nnU-Net ----------------------------------

TINY = Experiment("Dataset952_Phantom", "3d_fullres", variant="tiny")
DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset952_Phantom, folds: 2, phantom: {cases: 5}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset952_Phantom
  configuration: 3d_fullres
  device: cpu
  variant: {name: tiny, num_epochs: 1, num_iterations_per_epoch: 1, num_val_iterations_per_epoch: 1}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path, {"defs.yaml": DECLARED})


def test_a_fold_is_prepared_trained_tracked_and_not_trained_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "run_child", child_in_process(prepare_dataset))
    monkeypatch.setenv("nnUNet_def_n_proc", "1")
    child = played(monkeypatch, dice=0.75)
    result = run("952", "3d_fullres", 0, "--variant", "tiny", "--json", "--project", project)

    assert result.exit_code == 0, result.stderr
    assert "Reading every case of Dataset952_Phantom" in result.stderr
    assert "fold_0: training from the beginning." in result.stderr
    assert "Epoch 0 (1 of 1): train loss " in result.stderr
    assert "`nnunet-assets dev` shows it." in result.stderr.splitlines()[-1]
    said: dict[str, Any] = json.loads(result.stdout)
    folder = TINY.fold_folder(
        Roots(*(project / "data" / f"nnUNet_{r}" for r in ("raw", "preprocessed", "results"))), "fold_0"
    )
    assert read_committed(folder, check_files=True)
    end = next(record.values for record in read_records(journal_path(folder)) if record.kind == "end")
    assert (said["status"], said["fold"], said["model_path"]) == ("trained", "fold_0", str(folder))
    assert said["metrics"]["dice"] == pytest.approx(end["val_dice_mean"]) == pytest.approx(0.75)
    assert said["metrics"]["iou"] == pytest.approx(end["val_iou_mean"])
    assert isinstance(said["metrics"]["validation_loss"], float)

    again = run("952", "3d_fullres", 0, "--variant", "tiny", "--c", "--tracker-disable", "--project", project)

    assert again.exit_code == 0
    assert again.stdout.splitlines()[0].endswith("finished already; nothing is trained. --retrain trains it anew.")
    assert "Epoch" not in again.stdout
    assert len(child.started) == 1


def test_a_fold_that_the_split_will_not_have_is_refused_before_anything_is_read(project: Path) -> None:
    result = run("952", "3d_fullres", 2, "--variant", "tiny", "--project", project)

    assert result.exit_code == 1
    assert "fold_2 does not exist; the splits of Dataset952_Phantom have fold_0, fold_1." in result.stderr
    assert not (project / "data").exists()


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_devices, "torch_devices", lambda _: TorchDevices("2.0", (), has_mps=False))
    result = run("952", "3d_fullres", 0, "--variant", "tiny", "-device", "cuda", "--project", project)

    assert result.exit_code == 1
    assert "Device 'cuda' was asked for, but torch 2.0 finds only: cpu." in result.stderr
    assert not (project / "data").exists()


def test_a_fold_that_never_began_leaves_no_folder(
    prepared: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(monkeypatch, *[Ends(None, ExitCode.BAD_INPUT, "There is no such device.")] * 2)
    for _ in range(2):  # what the first left is in nobody's way
        result = run("951", "3d_fullres", 0, "--project", tmp_path)
        assert result.exit_code == 1
        assert result.stderr.count("There is no such device.") == 1
        assert "training from the beginning." in result.stdout

    model = EXPERIMENT.model_folder(prepared)
    assert [path.name for path in model.iterdir()] == ["nnunet_assets"]
    assert "no such device" in (model / "nnunet_assets/not_begun/fold_0/.nnunet_assets/output.log").read_text()


def test_the_loser_of_two_terminals_is_not_told_that_it_goes_on(prepared: Roots, tmp_path: Path) -> None:
    place = EXPERIMENT.place_of(prepared, "fold_0")
    write_json_atomically(place.own / "request.json", {"inputs": vars(inputs_of(prepared)), "attempt": "first"})
    lock = place.model_folder / "nnunet_assets" / "fold_0.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = run("951", "3d_fullres", 0, "--project", tmp_path)

    assert result.exit_code == 1
    assert "fold_0 is being trained by another process" in result.stderr
    assert "going on" not in result.output


def inputs_of(roots: Roots) -> FoldInputs:
    config = ExperimentConfig(dataset=DATASET, configuration="3d_fullres")
    return fold_inputs(dataset_of(roots), EXPERIMENT, "fold_0", config.training_hash())
