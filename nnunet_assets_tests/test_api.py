"""The functions that scripts call: what is offered, what a type checker finds, what an import costs, what they do."""

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import nnunet_assets
from nnunet_assets import api
from nnunet_assets.api.training_words import TrainingWords
from nnunet_assets.cli.fold.train_flags import Flags
from nnunet_assets.cli.main import COMMANDS
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.progress import Silent
from nnunet_assets.errors import ConfigError, EvaluationError, FoldError, SummaryError, TrackingError
from nnunet_assets.nnunet.results.results_folder import FolderRecord
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold import named_training
from nnunet_assets_tests.cli.results.commands import first_interval, run, summarized
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project
from nnunet_assets_tests.raw_builders import tiny_image, tiny_label, write_volume
from nnunet_assets_tests.tracked_projects import DATASET as TRACKED
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

CLIENT = """
from nnunet_assets import cross_validate, sumarize_experiment, train_fold

train_fold("Dataset004_Hippocampus", "2d", 0, retrain="yes")
train_fold("Dataset004_Hippocampus", "2d", 0, device="cpu", seed=7, pretrained_weights="weights.pth")
found = cross_validate(4, "2d", folds=[0, 1], patience=20)
print(found.made.summary.headline() if found.made else "", found.folds["fold_0"].tracking)
cross_validate(4, "2d", patince=20)
"""
PLANTED = {
    2: '"sumarize_experiment" is unknown|Module "nnunet_assets" has no attribute "sumarize_experiment"',
    4: 'Argument of type "Literal\\[\'yes\'\\]"|Argument "retrain" to "train_fold" has incompatible type "str"',
    8: 'No parameter named "patince"|Unexpected keyword argument "patince" for "cross_validate"',
}
"""Line of a mistake in it to what pyright or mypy says of it."""
PYRIGHT = "basedpyright"
"""Pyright with its engine in the package: pyright's own fetches that at its first start, which needs a network."""
# What a user's type checker reads of the package without reading all that it stands on: seconds.
CONFIG = """
[mypy]
follow_imports = skip
[mypy-nnunet_assets,nnunet_assets.api,nnunet_assets.api.*]
follow_imports = silent
"""
UNUSED = ("dagster", "torch", "nnunetv2", "mlflow", "numpy", "pandas", "matplotlib", "scipy", "SimpleITK")

IMPORTED = f"""
import sys
import nnunet_assets
mine = [name for name in sys.modules if name.startswith("nnunet_assets.")]
missing = set(nnunet_assets.__all__) - set(dir(nnunet_assets))
for name in nnunet_assets.__all__:
    getattr(nnunet_assets, name)
print(mine, missing, sorted(set({UNUSED}) & set(sys.modules)))
"""
FUNCTIONS = {
    "check-config": ["declarations"],
    "import-dataset": ["import_dataset"],
    "check": ["check"],
    "train": ["train_fold", "cross_validate", "train_again", "dry_run"],
    "compare": ["compare"],
    "best": ["best"],
    "search": ["search", "search_status", "adopt_trial"],
    "trainers": ["trainers", "new_trainer"],
    "package": ["package"],
    "predict": ["predict"],
    "ensemble": ["ensemble"],
    "evaluate": ["evaluate"],
    "summarize": ["summarize", "summarize_experiment", "log_cv_summary"],
    "list": ["list_experiments"],
    "export": ["export_csv", "export_latex"],
    "models": ["models", "clear_models"],
    "promote": ["promote"],
    "verify": ["verify"],
    "accept": ["accept"],
    "adopt": ["adopt"],
    "sync": ["sync"],
}
"""Command to the functions that do what it does."""
OF_THE_TERMINAL = {
    "demo": "runs Dagster's graph, which the functions do without",
    "init": "writes a folder for commands and servers",
    "backfill": "asks the project's daemon",
    "doctor": "looks at the installation, the servers and the terminal of a person",
    "dev": "runs servers",
    "up": "runs servers",
    "down": "ends servers",
    "completion": "teaches a shell",
}
"""Those without one, and why."""
IDENTITY = Experiment("Dataset004_Hippocampus", "2d")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one experiment, without what the developer's own shell sets."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})


def test_mypy_finds_three_mistakes_and_no_others(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api")
    script, config = tmp_path / "script.py", tmp_path / "mypy.ini"
    script.write_text(CLIENT)
    config.write_text(CONFIG)
    arguments = ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    found, problems, _ = mypy.run([*arguments, "--hide-error-codes", str(script)])
    assert problems == ""
    _are_those_that_were_planted(
        [(int(line.split(":")[1]), line) for line in found.splitlines() if ": error: " in line]
    )


@pytest.mark.faults
def test_pyright_finds_the_same_three_mistakes_and_no_others(tmp_path: Path) -> None:
    if find_spec(PYRIGHT) is None:
        pytest.skip(f"{PYRIGHT} is not installed (`pip install 'nnunet_assets[test]'`)")
    script = tmp_path / "script.py"
    script.write_text(CLIENT)
    root = Path(nnunet_assets.__file__).parents[1]  # pyright does not see what an editable install hooks in
    config = {"typeCheckingMode": "standard", "include": [str(script)], "extraPaths": [str(root)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", PYRIGHT, "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(done.stdout)["generalDiagnostics"]
    _are_those_that_were_planted(
        [(one["range"]["start"]["line"] + 1, one["message"]) for one in found if one["severity"] == "error"]
    )


def _are_those_that_were_planted(found: list[tuple[int, str]]) -> None:
    by_line: dict[int, list[str]] = {}
    for line, message in found:
        by_line.setdefault(line, []).append(message)
    assert by_line.keys() == PLANTED.keys(), found
    for line, pattern in PLANTED.items():
        assert re.search(pattern, by_line[line][0]), by_line[line]


def test_every_command_is_a_function_or_belongs_to_the_terminal() -> None:
    offered = set(api.__all__)
    assert set(FUNCTIONS) | set(OF_THE_TERMINAL) == set(COMMANDS)
    assert not set(FUNCTIONS) & set(OF_THE_TERMINAL)
    for command, functions in FUNCTIONS.items():
        assert set(functions) <= offered, command


def test_the_package_offers_what_the_api_does() -> None:
    assert sorted({*api.__all__, "__version__"}) == nnunet_assets.__all__
    assert set(nnunet_assets.__all__) <= set(dir(nnunet_assets))
    tree = ast.parse(Path(nnunet_assets.__file__).read_text())
    (shown,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == f"{api.__name__}"
    ]
    assert [alias.name for alias in shown.names] == api.__all__
    with pytest.raises(AttributeError, match="module 'nnunet_assets' has no attribute 'sumarize_experiment'"):
        nnunet_assets.sumarize_experiment  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_imports_nothing_and_the_functions_no_dagster() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[] set() []"


def test_every_flag_of_train_is_a_keyword() -> None:
    arguments = {"dataset", "configuration", "fold", "trainer", "plans", "variant", "undeclared", "device", "retrain"}
    otherwise = {"tracker_disable", "from_run", "dry_run", "project", "as_json", "use_compressed"}
    flags = {field.name for field in fields(Flags)}
    assert flags == {*TrainingWords.__annotations__, *arguments, *otherwise}


def test_a_summary_is_made_and_written(project: Path) -> None:
    settings = Settings.from_environment(project, {})
    for fold, cases in FOLDS.items():
        write_fold(IDENTITY.model_folder(settings.roots), fold, cases)
    made = api.summarize("Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__2d", track=False, project=project)
    assert made.summary.completed_folds == tuple(sorted(FOLDS))
    assert list(made.summary.expected_folds) == [f"fold_{index}" for index in range(5)]
    assert made.file.is_file()
    assert made.tracked.run_id is None
    name = "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__2d"
    accepted = api.accept(name, project=project)
    assert (accepted.missing_folds, accepted.baseline) == (("fold_3", "fold_4"), None)
    assert accepted.summary.completed_folds == made.summary.completed_folds
    accepted = api.accept(name, incomplete=True, note="as submitted", project=project)
    assert accepted.file.is_file()
    assert accepted.baseline
    assert accepted.baseline.note == "as submitted"


@pytest.mark.parametrize("track", [True, False])
def test_a_fold_is_trained_as_its_words_say(project: Path, monkeypatch: pytest.MonkeyPatch, track: bool) -> None:
    seen: dict[str, Any] = {}

    def prepared(settings: Settings, declared: Any, config: Any, fold: str, asked: Any, **_: Any) -> Any:
        seen.update(identity=config.identity, fold=fold, asked=asked, data=settings.data)
        return "the request"

    def trained(
        _settings: Settings, request: Any, destination: Any, _progress: Any, *, retrain: bool, engine: Any, **_: Any
    ) -> Any:
        assert engine.name == "local"
        seen.update(request=request, uri=destination and destination.tracking_uri)
        return retrain

    monkeypatch.setattr(named_training, "prepared_request", prepared)
    monkeypatch.setattr(named_training, "train_from_there", trained)
    how: dict[str, Any] = {"npz": True, "time_budget_minutes": 9.0}
    assert api.train_fold(
        4, "2d", 3, device="cpu", retrain=True, track=track, project=project, progress=Silent(), **how
    )
    assert (seen["identity"], seen["fold"], seen["data"]) == (IDENTITY, "fold_3", project / "data")
    assert (seen["asked"].device, seen["asked"].retrain, seen["request"]) == ("cpu", True, "the request")
    assert (seen["asked"].npz, seen["asked"].time_budget_minutes) == (True, 9.0)
    assert seen["uri"] == (f"sqlite:///{project}/data/mlflow.db" if track else None)


def test_words_that_change_a_result_make_a_variant_and_an_unknown_one_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        named_training.Training, "cross_validated", lambda _self, named, folds: seen.append((named, folds))
    )
    words: Any = {"pretrained_weights": Path("weights.pth"), "seed": 7, "restore_best": False, "tensorboard": True}
    api.cross_validate(4, "2d", folds=[1], project=project, **words)
    ((named, folds),) = seen
    assert named.changing == {"seed": 7, "pretrained_weights": str(Path.cwd() / "weights.pth")}
    assert (named.unchanging, named.fold, folds) == ({"tensorboard": True}, None, [1])
    with pytest.raises(TypeError, match=r"A training has no 'patince'\. It takes .*patience"):
        api.train_fold(4, "2d", 0, project=project, patince=20)  # type: ignore[call-arg]


def test_what_a_training_would_do_is_returned_and_nothing_is_written(project: Path) -> None:
    for index in range(5):
        write_volume(
            project / f"data/nnUNet_raw/Dataset004_Hippocampus/imagesTr/c{index}_0000.nii.gz", tiny_image(index)
        )
        write_volume(project / f"data/nnUNet_raw/Dataset004_Hippocampus/labelsTr/c{index}.nii.gz", tiny_label())
    description = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}}
    description |= {"numTraining": 5, "file_ending": ".nii.gz"}
    (project / "data/nnUNet_raw/Dataset004_Hippocampus/dataset.json").write_text(json.dumps(description))
    before = sorted(project.rglob("*"))
    would = api.dry_run(4, "2d", 0, device="cpu", project=project)
    assert would.title == f"{IDENTITY.title}, fold_0"
    assert would.preparation is not None
    assert sorted(project.rglob("*")) == before


def test_what_there_is_can_be_asked_for(project: Path) -> None:
    assert [one.identity for one in api.declarations(project).experiments] == [IDENTITY]
    assert api.list_experiments(project=project) == {}
    with pytest.raises(TrackingError, match="nothing was tracked so far"):
        api.list_experiments(tracking_uri=f"sqlite:///{project}/no.db", project=project)
    for fold, cases in FOLDS.items():
        write_fold(IDENTITY.model_folder(Settings.from_environment(project, {}).roots), fold, cases)
    ((name, (group,)),) = api.list_experiments(results=project / "data/nnUNet_results").items()
    assert (name, group.finished_folds) == (IDENTITY.dataset, ("fold_0", "fold_1", "fold_2"))
    file = api.new_trainer("nnUNetTrainerMine", project=project)
    assert api.trainers(project).trainers["nnUNetTrainerMine"].file == file


def test_a_folder_of_images_is_imported_and_checked(project: Path) -> None:
    for index in range(6):
        write_volume(project / "scans" / "images" / f"case{index}_MRI.nii.gz", tiny_image(index))
        write_volume(project / "scans" / "labels" / f"case{index}.nii.gz", tiny_label())
    imported = api.import_dataset(
        project / "scans",
        name="Dataset004_Hippocampus",
        images="images/{case}_{channel}.nii.gz",
        labels="labels/{case}.nii.gz",
        channels=["MRI"],
        label_values={"background": 0, "organ": 1, "lesion": 2},
        project=project,
    )
    assert (imported.n_training, imported.folder) == (6, project / "data/nnUNet_raw/Dataset004_Hippocampus")
    looked = api.check("Dataset004_Hippocampus", project=project)
    assert (looked.found.n_cases, list(looked.found.labels)) == (6, ["organ", "lesion"])


def test_what_is_not_there_is_said_in_the_words_of_the_commands(project: Path) -> None:
    with pytest.raises(ConfigError, match="Dataset005"):
        api.compare("Dataset005_Prostate", project=project)
    with pytest.raises(EvaluationError, match="'nothing' is neither a folder nor an experiment"):
        api.evaluate("nothing", project=project)
    with pytest.raises(EvaluationError, match="nothing' is neither a folder nor an experiment"):
        api.evaluate(project / "nothing", project=project)
    with pytest.raises(FoldError):
        api.adopt(project / "experiments", track=False, project=project)
    assert api.sync(project=project).folds == {}


class TestASummaryOfWhatWasTracked:
    pytestmark = MLFLOW_WARNINGS

    def test_the_names_of_the_package_give_the_same_as_the_commands(
        self, tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tracked.project)

        summary = nnunet_assets.summarize_experiment(TRACKED)

        assert isinstance(summary, nnunet_assets.CVSummary)
        assert isinstance(summary.folds[0], nnunet_assets.FoldResult)
        assert (summary.is_complete, summary.completed_folds) == (False, [0, 1, 2])
        assert (summary.missing_folds, summary.expected_folds) == ([3, 4], (0, 1, 2, 3, 4))
        assert summary.cv_group == f"{TRACKED}/nnUNetTrainer__nnUNetPlans__3d_fullres"
        assert (summary.experiment_name, summary.is_pseudo) == (TRACKED, False)
        assert summary.all_class_indices == ["tumor (core)", "=edema & <rest>"]
        first = summary.fold_results[0]
        assert (first.fold, first.status, len(first.run_id), first.val_loss) == (0, "FINISHED", 32, None)
        assert first.dice_per_class == {"tumor (core)": pytest.approx(0.8), "=edema & <rest>": pytest.approx(0.3)}
        assert [case.case_id for case in first.cases] == ["a", "b", "c"]
        assert summary.headline() == "3 of 5 folds (fold_3, fold_4 missing): Dice 0.442 ± 0.125 over folds"
        metrics = summary.compute_aggregate_metrics()
        assert metrics["cv_mean_fg_dice"] == summary.foreground.dice.over_folds.mean
        assert metrics["cv_std_fg_dice"] == summary.foreground.dice.over_folds.sd
        assert metrics == summarized(tracked)["aggregate_metrics"]
        text = nnunet_assets.export_csv(summary, tmp_path / "x.csv")
        assert (tmp_path / "x.csv").read_bytes().decode() == text
        assert r"\label{t}" in nnunet_assets.export_latex(summary, label="t")
        with (tmp_path / "open.csv").open("w", newline="") as file:
            nnunet_assets.export_csv(summary, output=file)
        assert (tmp_path / "open.csv").read_bytes() == (tmp_path / "x.csv").read_bytes()
        assert nnunet_assets.summarize_experiment(experiment_name=TRACKED, expected_folds=(0, 1, 2)).is_complete
        with pytest.warns(UserWarning, match="Left out: fold_2") as caught:
            folder = nnunet_assets.summarize_experiment(TRACKED, expected_folds=[0, 1], results=tracked.roots.results)
        assert caught[0].filename == __file__  # of the line of the script
        assert folder.fold_results == {index: summary.fold_results[index] for index in (0, 1)}

    def test_what_goes_wrong_is_a_value_error_too(self, tracked: Settings, tmp_path: Path) -> None:
        for name, uri, kind, sentence in (
            ("Dataset005_None", None, SummaryError, "has no experiment 'Dataset005_None'"),
            (TRACKED, str(tmp_path / "mlruns"), TrackingError, "is a folder that is not there"),
        ):
            with pytest.raises(ValueError, match=sentence) as caught:
                nnunet_assets.summarize_experiment(name, uri, project=tracked.project)
            assert isinstance(caught.value, kind)
            assert type(caught.value).__name__ == kind.__name__

    def test_a_logged_summary_is_one_run_however_often_it_is_logged(self, tracked: Settings) -> None:
        ids = [
            json.loads(run(tracked, "summarize", "-e", TRACKED, "--json", "--log-to-mlflow").stdout)["mlflow_run"]
            for _ in range(2)
        ]
        assert ids[0] == ids[1]
        shown = connect(Destination.of(tracked)).get_run(ids[0])
        assert shown.data.tags[names.RUN_TYPE] == "cv_summary"
        wanted = summarized(tracked)["foreground"]["dice"]["over_folds"]["mean"]
        assert shown.data.metrics["dice_mean_over_folds"] == wanted

    def test_a_summary_is_logged_where_its_asset_logs_it_and_the_projects_settings_hold_from_python_too(
        self, tracked: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tracked.project / ".env").write_text("MLFLOW_EXPERIMENT_NAME=chosen\n")
        logged = run(tracked, "summarize", "-e", TRACKED, "--json", "--log-to-mlflow")
        client = connect(Destination.of(tracked))
        run_id = json.loads(logged.stdout)["mlflow_run"]
        assert client.get_experiment(client.get_run(run_id).info.experiment_id).name == "chosen"
        monkeypatch.chdir(tracked.project)
        summary = nnunet_assets.summarize_experiment(TRACKED)
        assert nnunet_assets.log_cv_summary(summary, project=tracked.project) == run_id

    def test_a_summary_without_intervals_takes_none_from_its_run(self, tracked: Settings) -> None:
        _, bare = FolderRecord.of(tracked.roots.results).summary(TRACKED, None, lambda group: group.default_folds)
        assert bare.bootstrap is None
        run_id = nnunet_assets.log_cv_summary(bare, project=tracked.project)
        metrics = connect(Destination.of(tracked)).get_run(run_id).data.metrics
        _, interval = first_interval(summarized(tracked))
        lows = {key: value for key, value in metrics.items() if key.startswith("dice_ci95_low_pooled/")}
        assert interval["low"] in lows.values()
