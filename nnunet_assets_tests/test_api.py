"""The functions that scripts call: what is offered, what a type checker finds, what an import costs, what they do."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mypy import api as mypy

import nnunet_assets
from nnunet_assets import api
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.progress import Silent
from nnunet_assets.errors import ConfigError, EvaluationError, FoldError
from nnunet_assets.nnunet.results.results_folder import FolderRecord
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold import start
from nnunet_assets_tests.cli.results.commands import first_interval, run, summarized
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project
from nnunet_assets_tests.raw_builders import tiny_image, tiny_label, write_volume
from nnunet_assets_tests.tracked_projects import DATASET as TRACKED
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

MISTAKEN = """
from nnunet_assets import sumarize_experiment, train_fold

train_fold("Dataset004_Hippocampus", "2d", 0, retrain="yes")
train_fold("Dataset004_Hippocampus", "2d", 0, device="cpu")
"""
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
IDENTITY = Experiment("Dataset004_Hippocampus", "2d")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one experiment, without what the developer's own shell sets."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})


def test_a_type_checker_finds_a_misspelt_name_and_a_wrong_argument(tmp_path: Path) -> None:
    script, config = tmp_path / "script.py", tmp_path / "mypy.ini"
    script.write_text(MISTAKEN)
    config.write_text(CONFIG)
    arguments = ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    found, problems, _ = mypy.run([*arguments, "--hide-error-codes", str(script)])
    assert problems == ""
    misspelt, wrong = [line for line in found.splitlines() if "error:" in line]
    assert 'script.py:2: error: Module "nnunet_assets" has no attribute "sumarize_experiment"' in misspelt
    assert 'script.py:4: error: Argument "retrain" to "train_fold" has incompatible type "str"' in wrong


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
        _settings: Settings, request: Any, destination: Any, _progress: Any, *, retrain: bool, engine: Any
    ) -> Any:
        assert engine.name == "local"
        seen.update(request=request, uri=destination and destination.tracking_uri)
        return retrain

    monkeypatch.setattr(start, "prepared_request", prepared)
    monkeypatch.setattr(start, "train_from_there", trained)
    assert api.train_fold(4, "2d", 3, device="cpu", retrain=True, track=track, project=project, progress=Silent())
    assert (seen["identity"], seen["fold"], seen["data"]) == (IDENTITY, "fold_3", project / "data")
    assert (seen["asked"].device, seen["asked"].retrain, seen["request"]) == ("cpu", True, "the request")
    assert seen["uri"] == (f"sqlite:///{project}/data/mlflow.db" if track else None)


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
        assert (summary.is_complete, summary.completed_folds) == (False, ("fold_0", "fold_1", "fold_2"))
        assert summary.missing_folds == ("fold_3", "fold_4")
        metrics = summary.compute_aggregate_metrics()
        assert metrics["cv_mean_fg_dice"] == summary.foreground.dice.over_folds.mean
        assert metrics["cv_std_fg_dice"] == summary.foreground.dice.over_folds.sd
        assert metrics == summarized(tracked)["aggregate_metrics"]
        text = nnunet_assets.export_csv(summary, tmp_path / "x.csv")
        assert (tmp_path / "x.csv").read_bytes().decode() == text
        assert r"\label{t}" in nnunet_assets.export_latex(summary, label="t")
        assert nnunet_assets.summarize_experiment(TRACKED, folds=[0, 1, 2]).is_complete

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
        assert nnunet_assets.log_cv_summary(summary) == run_id

    def test_a_summary_without_intervals_takes_none_from_its_run(self, tracked: Settings) -> None:
        _, bare = FolderRecord.of(tracked.roots.results).summary(TRACKED, None, lambda group: group.default_folds)
        assert bare.bootstrap is None
        run_id = nnunet_assets.log_cv_summary(bare, settings=tracked)
        metrics = connect(Destination.of(tracked)).get_run(run_id).data.metrics
        _, interval = first_interval(summarized(tracked))
        lows = {key: value for key, value in metrics.items() if key.startswith("dice_ci95_low_pooled/")}
        assert interval["low"] in lows.values()
