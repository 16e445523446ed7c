"""What version 0.1.0 made is read as it was made: folds stay finished, numbers stay, nothing is trained twice."""

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from packaging.version import Version

from nnunet_assets.cli.main import main
from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.evaluation_files import evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.label_totals import label_estimate
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment, Roots
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.errors import EvaluationError
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets.reports.tables.case_table import read_cases
from nnunet_assets.reports.tables.evaluation_tables import to_markdown
from nnunet_assets.settings import Settings
from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

opens_its_store = pytest.mark.skipif(
    Version(version("mlflow")) < Version("3.17"), reason="its tracking store was made by MLflow 3.17"
)
reads_its_weights = pytest.mark.skipif(
    Version(version("numpy")) < Version("2"), reason="its checkpoints hold numbers of numpy 2"
)

HERE = Path(__file__).parent
OLD_PLACE = "/srv/nnunet/project"
PHANTOM, STACK = "Dataset900_Phantom", "Dataset901_Stack"
SHORT = Experiment(PHANTOM, "3d_fullres", plans="tinyPlans", variant="short")
CUT = Experiment(PHANTOM, "3d_fullres", plans="tinyPlans", variant="cut")
ADOPTED = Experiment(PHANTOM, "3d_fullres", plans="tinyPlans", trainer="nnUNetTrainer_1epoch")
TIFF = Experiment(STACK, "3d_fullres", plans="tinyPlans", variant="short")

FINISHED = [(SHORT, "fold_0"), (SHORT, "fold_1"), (ADOPTED, "fold_0"), (ADOPTED, "fold_1"), (TIFF, "fold_0")]

POOLED = {
    ADOPTED: {"organ": 0.8188823370389325, "lesion": 0.41535011121936877},
    SHORT: {"organ": 0.08174558397665362, "lesion": 0.025535812303181214},
}
"""Dice, as version 0.1.0 had it."""

VARIABLES = (
    "nnUNet_raw",
    "nnUNet_preprocessed",
    "nnUNet_results",
    "NNUNET_ASSETS_PROJECT",
    "MLFLOW_TRACKING_URI",
    "DAGSTER_HOME",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Returns the project, in a place of this machine."""
    folder = tmp_path_factory.mktemp("nnunet")
    with tarfile.open(HERE / "project.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    place = folder / "project"
    for file in [place / ".env", *place.rglob("mlflow_run.json"), *place.rglob("request.json")]:
        file.write_text(file.read_text().replace(OLD_PLACE, str(place)))
    with closing(sqlite3.connect(place / "data/mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"update {table} set {column} = replace({column}, ?, ?)", (OLD_PLACE, str(place)))
    with environment_without(VARIABLES):
        yield place


@pytest.fixture(scope="module")
def roots(project: Path) -> Roots:
    return Settings.from_environment(project).roots


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--project", str(project)])


def train(project: Path, experiment: Experiment, fold: str) -> Result:
    chosen = ["-p", experiment.plans, "-tr", experiment.trainer]
    variant = ["--variant", experiment.variant] if experiment.variant else []
    number = fold.removeprefix("fold_")
    return run(project, "train", experiment.dataset, experiment.configuration, number, *chosen, *variant)


def runs(project: Path) -> list[tuple[str, str]]:
    """Returns the runs of folds: that of a cross-validation, which is above them, that version did not have."""
    of_folds = "select run_uuid from tags where key = 'nnunet_assets.run_type' and value = 'fold'"
    with closing(sqlite3.connect(project / "data/mlflow.db")) as database:
        query = f"select run_uuid, status from runs where run_uuid in ({of_folds}) order by run_uuid"
        return database.execute(query).fetchall()


def summarized(project: Path, experiment: Experiment, source: str) -> dict[str, Any]:
    group = str(experiment.name_in_dataset)
    options = ["-e", experiment.dataset, "--cv-group", f"{experiment.dataset}/{group}", "--source", source, "--json"]
    result = run(project, "summarize", *options)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize(("experiment", "fold"), FINISHED, ids=lambda one: getattr(one, "name_in_dataset", one))
def test_finished_folds_are_finished(roots: Roots, experiment: Experiment, fold: str) -> None:
    manifest = read_committed(experiment.fold_folder(roots, fold), check_files=True)
    assert manifest is not None
    assert manifest.is_adopted == (experiment == ADOPTED)


@pytest.mark.parametrize(("experiment", "fold"), FINISHED, ids=lambda one: getattr(one, "name_in_dataset", one))
def test_finished_folds_are_not_trained_again(project: Path, roots: Roots, experiment: Experiment, fold: str) -> None:
    checkpoint = experiment.fold_folder(roots, fold) / "checkpoint_final.pth"
    before, runs_before = checkpoint.stat().st_mtime_ns, runs(project)
    result = train(project, experiment, fold)
    assert result.exit_code == 0, result.output
    assert "nothing is trained" in result.output
    assert checkpoint.stat().st_mtime_ns == before
    assert runs(project) == runs_before


@pytest.mark.parametrize(("experiment", "fold"), FINISHED, ids=lambda one: getattr(one, "name_in_dataset", one))
@pytest.mark.parametrize("record", ["the summary", "the journal"])
def test_folds_that_were_validated_again_with_the_same_scores_are_finished(
    roots: Roots, experiment: Experiment, fold: str, record: str
) -> None:
    folder = experiment.fold_folder(roots, fold)
    file, summary = folder / "validation" / "summary.json", experiment.summary_folder(roots) / CV_SUMMARY_FILE
    before, good = fold_results_in(folder.parent, [fold]), file.read_bytes()
    known = summary.read_bytes() if summary.exists() else None
    content = json.loads(good)
    content["metric_per_case"].reverse()
    for entry in content["metric_per_case"]:
        entry["prediction_file"] = f"/moved/{fold}/validation/{Path(entry['prediction_file']).name}"
    if record == "the journal":
        summary.unlink(missing_ok=True)
    try:
        file.write_text(json.dumps(content))
        assert read_committed(folder, check_files=True) is not None
        assert fold_results_in(folder.parent, [fold]) == before
        label = next(iter(content["metric_per_case"][0]["metrics"].values()))
        label["Dice"] = 0.123 if label["Dice"] != 0.123 else 0.5
        label["IoU"] = 0.1
        file.write_text(json.dumps(content))
        assert read_committed(folder) is None
    finally:
        file.write_bytes(good)
        if known is not None:
            summary.write_bytes(known)


@opens_its_store
@pytest.mark.parametrize("experiment", [SHORT, ADOPTED], ids=lambda one: one.name_in_dataset)
def test_every_source_gives_the_numbers_of_then(project: Path, experiment: Experiment) -> None:
    for source in ("results", "mlflow"):
        labels = summarized(project, experiment, source)["labels"]
        means = {name: label["dice"]["pooled"]["mean"] for name, label in labels.items()}
        assert means == pytest.approx(POOLED[experiment], abs=1e-12), source


@pytest.mark.parametrize("experiment", [SHORT, ADOPTED], ids=lambda one: one.name_in_dataset)
def test_a_summary_is_read(roots: Roots, experiment: Experiment) -> None:
    summary = read_summary(experiment.summary_folder(roots) / CV_SUMMARY_FILE)
    assert summary.is_complete
    assert [fold.fold for fold in summary.folds] == ["fold_0", "fold_1"]


def test_an_evaluation_is_shown_without_what_was_not_measured_then(roots: Roots) -> None:
    model = SHORT.model_folder(roots)
    policy = metric_policy(parse_dataset_json(model / "dataset.json"))
    content = read_evaluation(evaluation_folder(model), policy)
    assert content["metrics_version"] == 1
    organ = content["labels"]["organ"]
    assert label_estimate(organ, "nsd").mean is not None
    assert label_estimate(organ, "nsd_surface").mean is None
    assert "bootstrap (BCa)" in to_markdown(content)
    table = evaluation_folder(model) / "cases.parquet"
    assert read_cases(table, ["nsd"], if_there=["image_diagonal_mm"])
    with pytest.raises(EvaluationError, match="has no nsd_surface: an older version wrote it"):
        read_cases(table, ["nsd_surface"])


def test_an_evaluation_is_used_again(project: Path) -> None:
    result = run(project, "evaluate", f"{PHANTOM}/short/nnUNetTrainer__tinyPlans__3d_fullres")
    assert result.exit_code == 0, result.output
    assert "organ" in result.output


def test_3d_tiffs_keep_the_names_of_then_until_a_spacing_changes(roots: Roots) -> None:
    manifest = read_committed(TIFF.fold_folder(roots, "fold_0"))
    assert manifest is not None
    prepared = PreparedFolder(roots, STACK)

    def is_up_to_date() -> bool:
        look_at_raw_data(roots, STACK, 2, Curation())
        is_whole = PreparedDataset.read(prepared, TIFF.plans).case_set(TIFF.configuration).is_whole
        assert is_whole == (read_raw(prepared).content_hash == manifest.inputs.raw_hash)
        return is_whole

    sidecars = {path: path.read_bytes() for path in (roots.raw / STACK).glob("*Tr/*.json")}
    assert len(sidecars) >= 4
    assert is_up_to_date()
    for path in sidecars:
        path.write_text('{"spacing": [9.0, 9.0, 9.0]}')
    assert not is_up_to_date()
    for path, content in sidecars.items():
        path.write_bytes(content)
    assert is_up_to_date()


def test_adopting_again_changes_nothing(project: Path, roots: Roots) -> None:
    before = runs(project)
    result = run(project, "adopt", str(roots.results))
    assert result.exit_code == 0, result.output
    assert runs(project) == before


@opens_its_store
def test_an_interrupted_fold_goes_on(project: Path, roots: Roots) -> None:
    folder, runs_before = CUT.fold_folder(roots, "fold_0"), runs(project)
    epochs = [record.epoch for record in read_records(journal_path(folder)) if record.epoch is not None]
    result = train(project, CUT, "fold_0")
    assert result.exit_code == 0, result.output
    assert f"Epoch {max(epochs)} (" not in result.output
    assert f"Epoch {max(epochs) + 1} (" in result.output
    after = [record.epoch for record in read_records(journal_path(folder)) if record.epoch is not None]
    assert after == list(range(6))
    assert {run_id for run_id, _ in runs(project)} == {run_id for run_id, _ in runs_before}
    assert {status for _, status in runs(project)} == {"FINISHED"}


@opens_its_store
@reads_its_weights
def test_a_fold_that_is_adopted_again_goes_on_in_its_run_and_every_source_has_its_scores(
    project: Path, roots: Roots
) -> None:
    folder, runs_before = ADOPTED.fold_folder(roots, "fold_0"), runs(project)
    file, good = folder / "validation" / "summary.json", (folder / "validation" / "summary.json").read_bytes()
    content = json.loads(good)
    for entry in content["metric_per_case"]:
        entry["metrics"]["1"] |= {"Dice": 0.25, "IoU": 1 / 7}
    file.write_text(json.dumps(content))
    result = run(project, "adopt", str(folder))
    assert result.exit_code == 0, result.output

    means = [
        summarized(project, ADOPTED, source)["labels"]["organ"]["dice"]["pooled"]["mean"]
        for source in ("results", "mlflow")
    ]

    assert means[0] == means[1] != pytest.approx(POOLED[ADOPTED]["organ"])
    assert {run_id for run_id, _ in runs(project)} == {run_id for run_id, _ in runs_before}
    assert run(project, "sync").exit_code == 0
    assert {run_id for run_id, _ in runs(project)} == {run_id for run_id, _ in runs_before}
    file.write_bytes(good)
    assert run(project, "adopt", str(folder)).exit_code == 0
    assert summarized(project, ADOPTED, "mlflow")["labels"]["organ"]["dice"]["pooled"]["mean"] == pytest.approx(
        POOLED[ADOPTED]["organ"], abs=1e-12
    )
