"""Declared experiments against each other by a metric of their evaluations, which stand on the disk."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.results.compare import compare
from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, EVALUATION_FILE, PARQUET_FILE, evaluation_folder
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots, comparison_folder
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.text.places import Places
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import SummaryError
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.tracking.assets.asset_run import TrackedRun
from nnunet_assets.workflows.results.compare import MadeComparison, make_comparison
from nnunet_assets_tests import comparison_builders
from nnunet_assets_tests.builders import INPUTS, build_fold_result, iou_of
from nnunet_assets_tests.comparison_builders import DECLARED, roots_of, summarized
from nnunet_assets_tests.cross_validation_builders import write_fold
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json

DATASET = "Dataset001_Tiny"
PLAIN = ExperimentConfig(dataset=DATASET, configuration="2d")
LONG = PLAIN.model_copy(update={"variant": VariantConfig(name="long", num_epochs=2000)})
COLUMNS = {"case": str, "label": str, "dice": float, "iou": float, "hd95_mm": float, "nsd": float}
SIZED = {**COLUMNS, "image_diagonal_mm": float}
HD95_MM = [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


def evaluated(
    project: Path,
    config: ExperimentConfig,
    hd95_mm: list[float | None],
    *,
    dice: float = 0.5,
    diagonal_mm: float | None = 95.0,
) -> Path:
    """Writes the summary of eight cases and their evaluation, as far as a comparison reads it; returns its folder.

    Where the HD95 is None, the organ is missed.
    """
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    experiment = config.identity
    dices = {f"c{k}": {"organ": 0.0 if value is None else 0.5} for k, value in enumerate(hd95_mm)}
    folds = [build_fold_result(f"fold_{k}", dict(list(dices.items())[4 * k : 4 * k + 4])) for k in range(2)]
    summary = summarize(experiment, ["fold_0", "fold_1"], folds)
    write_json_atomically(experiment.summary_folder(roots) / "cv_summary.json", summary.to_json())
    model = experiment.model_folder(roots)
    description = write_json(model / "dataset.json", tiny_json(labels={"background": 0, "organ": 1}))
    folder = evaluation_folder(model)
    policy = metric_policy(parse_dataset_json(description))
    rows: list[dict[str, Any]] = [
        {
            "case": f"c{k}",
            "label": "organ",
            **(
                {"dice": 0.0, "iou": 0.0, "nsd": 0.0}
                if value is None
                else {"dice": dice, "iou": iou_of(dice), "nsd": 0.9}
            ),
            "hd95_mm": value,
            **({} if diagonal_mm is None else {"image_diagonal_mm": diagonal_mm}),
        }
        for k, value in enumerate(hd95_mm)
    ]
    write_case_table(rows, COLUMNS if diagonal_mm is None else SIZED, folder / PARQUET_FILE, folder / CSV_FILE)
    write_json_atomically(
        folder / EVALUATION_FILE, {"policy_digest": policy.digest, "folds": list(summary.completed_folds)}
    )
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two experiments; LONG is 1 mm nearer in every case, and misses the organ in the last."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    write_project(tmp_path, {"defs.yaml": DECLARED})
    evaluated(tmp_path, PLAIN, [*HD95_MM])
    evaluated(tmp_path, LONG, [*(value - 1 for value in HD95_MM[:7]), None])
    return tmp_path


def run(project: Path, *arguments: str) -> Result:
    command = [DATASET, "--project", str(project), *arguments]
    return CliRunner().invoke(compare, command, standalone_mode=False, env={"COLUMNS": "300"})


def test_hd95_counts_a_missed_organ_as_the_diagonal_of_the_largest_image(project: Path) -> None:
    result = run(project, "--metric", "hd95_mm", "--json")
    assert result.return_value == 0
    found = json.loads(result.stdout)
    organ = next(one for one in found["differences"] if one["label"] == "organ")
    # LONG: 3 to 9 mm in seven cases, 95 mm in the eighth; the other 4 to 11 mm in eight.
    means = {one["experiment"]: (one["mean"], one["rank"]) for one in found["standings"] if one["label"] == "organ"}
    assert means == {PLAIN.identity.name_in_dataset: (7.5, 1), LONG.identity.name_in_dataset: (137 / 8, 2)}
    assert (organ["metric"], organ["n_cases"], organ["n_defined_in_one"], organ["mean"]) == (
        "hd95_mm",
        8,
        0,
        7.5 - 137 / 8,
    )
    assert [one["n_worst"] for one in found["standings"] if one["label"] == "organ"] == [0, 1]
    assert found["diagonal_mm"] == 95.0
    # Seven small gains and one miss: each half with the eighth case speaks for PLAIN, each other one for LONG.
    assert (organ["p"], organ["n_left_better"], organ["n_right_better"]) == (1.0, 1, 7)


def test_it_is_shown_with_what_a_missed_organ_counts(project: Path) -> None:
    shown = run(project, "--metric", "hd95_mm").stdout
    assert "HD95 [mm], missed ones counted: the lowest mean is the best." in shown
    assert "counts 95.000 mm, the diagonal of the largest image" in " ".join(shown.split())
    assert "the lowest mean" not in run(project, "--metric", "nsd").stdout


def test_an_older_evaluation_is_compared_as_long_as_nothing_is_missed_or_another_knows_the_images(
    project: Path,
) -> None:
    evaluated(project, PLAIN, [*HD95_MM], diagonal_mm=None)
    assert run(project, "--metric", "hd95_mm", "--json").return_value == 0
    evaluated(project, LONG, [*HD95_MM], diagonal_mm=None)
    found = json.loads(run(project, "--metric", "hd95_mm", "--json").stdout)
    assert (found["left_out"], found["diagonal_mm"]) == ({}, None)
    evaluated(project, LONG, [*HD95_MM[:7], None], diagonal_mm=None)
    result = run(project, "--metric", "hd95_mm", "--json")
    assert result.return_value == 2
    assert "does not say how large the images are" in str(json.loads(result.stdout)["left_out"])


def test_without_a_metric_the_summaries_are_compared(project: Path) -> None:
    assert "Dice, pooled" in run(project).stdout


def test_who_has_no_evaluation_of_its_folds_is_left_out_with_the_reason(project: Path) -> None:
    folder = evaluated(project, LONG, [*HD95_MM], dice=0.6)
    name = LONG.identity.name_in_dataset

    def reason() -> str:
        result = run(project, "--metric", "hd95_mm", "--json")
        assert result.return_value == 2
        left_out: dict[str, str] = json.loads(result.stdout)["left_out"]
        return left_out[name]

    assert "case c0 scores organ dice 0.600 instead of 0.500" in reason()
    (folder / EVALUATION_FILE).unlink()
    assert "evaluation.json is missing. Materialize cv_evaluation first." in reason()


def test_another_metric_is_wrong_usage(project: Path) -> None:
    result = run(project, "--metric", "volume_error_ml")
    assert "is not one of 'hd95_mm', 'assd_mm', 'nsd', 'hausdorff95_surface_mm', " in str(result.exception)


def test_summaries_that_are_missing_or_older_than_a_fold_are_made_first_and_nothing_else_is_written(
    project: Path,
) -> None:
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    for config, dice in ((PLAIN, 0.5), (LONG, 0.7)):
        experiment = config.identity
        shutil.rmtree(experiment.model_folder(roots))
        for fold in ("fold_0", "fold_1"):
            write_fold(experiment.model_folder(roots), fold, {f"{fold}_{k}": (dice + k / 100, 0.5) for k in range(4)})

    first = run(project, "--json")
    write_fold(LONG.identity.model_folder(roots), "fold_1", {f"fold_1_{k}": (0.9, 0.5) for k in range(4)})
    second = run(project, "--json")

    assert first.return_value == second.return_value == 0
    assert [line.partition(", and is made now")[0] for line in first.stderr.splitlines()] == [
        f"The summary of {config.identity.title} is missing" for config in (PLAIN, LONG)
    ]
    assert [line.partition(", and is made now")[0] for line in second.stderr.splitlines()] == [
        f"The summary of {LONG.identity.title} is older than fold_1"
    ]
    means = [json.loads(result.stdout)["differences"][0]["mean"] for result in (first, second)]
    assert means[0] != means[1]
    assert not comparison_folder(roots, DATASET).exists()


def test_an_experiment_whose_folds_must_not_be_averaged_is_left_out_with_the_reason(project: Path) -> None:
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    model = LONG.identity.model_folder(roots)
    shutil.rmtree(model)
    write_fold(model, "fold_0", {"a": (0.5, 0.5)})
    write_fold(model, "fold_1", {"b": (0.5, 0.5)}, replace(INPUTS, raw_hash="other"))

    result = run(project, "--json")

    assert result.return_value == 2
    assert "differ in raw data" in json.loads(result.stdout)["left_out"][LONG.identity.name_in_dataset]


class TestTheFilesOfAComparison:
    @pytest.fixture
    def declared(self, tmp_path: Path) -> Project:
        folder = tmp_path / "declared"
        return read_project(write_project(folder, {"defs.yaml": comparison_builders.DECLARED}))

    def make(self, tmp_path: Path, declared: Project) -> MadeComparison:
        return make_comparison(roots_of(tmp_path), declared, DATASET, Places())

    def test_are_all_made_and_its_digest_is_that_of_what_it_says(self, tmp_path: Path, declared: Project) -> None:
        summarized(tmp_path, PLAIN, 0.0)
        summarized(tmp_path, LONG, 0.1)

        made = self.make(tmp_path, declared)

        assert {path.name for path in made.files} == comparison_builders.FILES
        assert json.loads(made.file.read_text())["experiments"] == list(made.comparison.experiments)
        assert made.preview_png.startswith(b"\x89PNG")
        assert (made.digest, made.tracked) == (self.make(tmp_path, declared).digest, TrackedRun())
        summarized(tmp_path, LONG, 0.2)
        assert self.make(tmp_path, declared).digest != made.digest

    def test_name_who_is_left_out_and_why(self, tmp_path: Path, declared: Project) -> None:
        def left_out() -> list[str]:
            return list(self.make(tmp_path, declared).comparison.left_out.values())

        missing = "it has no summary yet"
        assert left_out() == [missing] * 2
        summarized(tmp_path, LONG, 0.0, n_folds=1)
        assert left_out() == [missing, "its summary is incomplete: 1 of 2 folds (fold_1 missing)"]
        file = LONG.identity.summary_folder(roots_of(tmp_path)) / "cv_summary.json"
        file.write_text("{")
        assert "is not valid JSON" in left_out()[1]
        shown = json.loads((comparison_folder(roots_of(tmp_path), DATASET) / "comparison.json").read_text())["left_out"]
        assert str(tmp_path) not in str(shown)

    def test_are_not_made_of_experiments_on_other_splits(self, tmp_path: Path, declared: Project) -> None:
        summarized(tmp_path, PLAIN, 0.0)
        summarized(tmp_path, LONG, 0.1, inputs=replace(INPUTS, splits_hash="other"))

        with pytest.raises(SummaryError, match=r"must not be compared: they differ in splits\."):
            self.make(tmp_path, declared)
        assert {path.name for path in comparison_folder(roots_of(tmp_path), DATASET).iterdir()} == {".comparison.lock"}
