"""`evaluate` on experiments, models' folders and plain folders, as a user calls it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.results.evaluate import evaluate
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.errors import ConfigError, EvaluationError, ForeignCodeError
from nnunet_assets.nnunet.images import image_reader
from nnunet_assets.processes.variables import TRUSTED_CODE_VARIABLE
from nnunet_assets_tests.builders import EXPERIMENT
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, references_of, write_case, write_fold
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes:
  dataset: Dataset004_Hippocampus
  nsd_tolerance_mm: {organ: 5}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset004_Hippocampus
  configuration: 3d_fullres
  folds: [0, 3]
"""
NAME = "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roots:
    """A project with the experiment, both of whose folds are finished, in the current folder."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    write_project(tmp_path, {"defs.yaml": DECLARED})
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    write_fold(roots, EXPERIMENT, "fold_3", {"c": HIGHER})
    return roots


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments], standalone_mode=False)


def test_a_declared_experiment_is_evaluated_as_declared_and_shown(roots: Roots) -> None:
    result = run(NAME)
    assert (result.return_value, result.stderr) == (0, "")
    assert "3 of 3 cases" in result.stdout
    organ = next(line for line in result.stdout.splitlines() if "organ" in line)
    # HD95 and ASSD in mm, then NSD at the declared 5 mm; the lesion's is at 2 mm.
    assert [cell.strip() for cell in organ.strip("│").split("│")] == [
        "organ",
        "0.500 ± 0.000",
        "0.333 ± 0.000",
        "5.000 ± 0.000",
        "2.500 ± 0.000",
        "1.000 ± 0.000",
        "0.000 ± 0.000",
        "3 of 3",
    ]
    folder = EXPERIMENT.summary_folder(roots) / "evaluation"
    files = {"cases.csv", "cases.parquet", "evaluation.json", "labels.csv", "labels.md", "labels.tex"}
    assert files <= {path.name for path in folder.iterdir()}
    assert "NSD at a tolerance of 5 mm (organ), 2 mm (lesion)." in result.stdout
    assert "Bayesian bootstrap of 3 cases" in " ".join(result.stdout.split())
    assert "95 % intervals of the means" not in result.stdout


def test_six_cases_have_intervals_in_a_table_of_their_own(roots: Roots) -> None:
    write_fold(roots, EXPERIMENT, "fold_3", dict.fromkeys("cdef", HIGHER))
    result = run(NAME)
    assert "95 % intervals of the means" in result.stdout
    intervals = [line for line in result.stdout.splitlines() if "organ" in line][1]
    assert [cell.strip() for cell in intervals.strip("│").split("│")][2:5] == [
        "0.180 to 0.639",
        "none",
        "none",
    ]
    assert "lengths and volumes with fewer than 60" in " ".join(result.stdout.split())


def test_json_has_all_that_the_file_has(roots: Roots) -> None:
    result = run(NAME, "--json", "--nsd-tolerance", "lesion=1.5", "--lesions", "lesion")
    shown = json.loads(result.stdout)
    folder = Path(shown.pop("files"))
    assert shown == json.loads((folder / "evaluation.json").read_text())
    assert shown["policy"]["labels"]["organ"]["nsd_tolerance_mm"] == 5.0
    assert shown["policy"]["labels"]["lesion"] == {"values": [2], "nsd_tolerance_mm": 1.5, "counts_lesions": True}
    assert shown["labels"]["lesion"]["metrics"]["lesions_found"]["mean"] == 1.0
    assert shown["labels"]["lesion"]["lesions"]["f1"] == 1.0
    assert "3 of 3 (1.000)" in run(NAME, "--lesions", "lesion").stdout


def test_a_models_folder_is_enough_and_what_is_wrong_gives_2(roots: Roots) -> None:
    model = EXPERIMENT.model_folder(roots)
    (model / "fold_0" / "validation" / "a.nii.gz").unlink()
    result = run(model)
    assert result.return_value == 2
    assert "2 of 3 cases" in result.stdout
    assert "Case 'a' has no prediction" in result.stdout


def test_a_fold_that_is_missing_gives_2(roots: Roots) -> None:
    (EXPERIMENT.fold_folder(roots, "fold_3") / ".nnunet_assets" / "COMMIT").unlink()
    result = run(NAME)
    assert result.return_value == 2
    assert "Folds that are not finished: fold_3" in result.stdout


def test_a_models_folder_is_measured_as_declared(roots: Roots) -> None:
    by_folder, by_name = (json.loads(run(target, "--json").stdout) for target in (EXPERIMENT.model_folder(roots), NAME))
    assert by_folder.pop("subject") != by_name.pop("subject")
    assert by_folder == by_name
    assert by_folder["policy"]["labels"]["organ"]["nsd_tolerance_mm"] == 5.0


def test_what_is_not_as_declared_leaves_the_declared_evaluation_alone(roots: Roots, tmp_path: Path) -> None:
    run(NAME)
    declared = EXPERIMENT.summary_folder(roots) / "evaluation"
    before = {name: (declared / name).read_bytes() for name in ("evaluation.json", "cases.csv", "kept_cases.jsonl")}
    for case in "abc":
        write_case(tmp_path / "second" / f"{case}.nii.gz", HIGHER)
    others = (["--nsd-tolerance", "organ=1"], ["--lesions", "lesion"], ["--references", tmp_path / "second"])
    folders = {Path(json.loads(run(NAME, *other, "--json").stdout)["files"]) for other in others}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {declared}
    assert {name: (declared / name).read_bytes() for name in before} == before


def test_a_model_may_have_its_references_elsewhere(roots: Roots, tmp_path: Path) -> None:
    elsewhere = references_of(roots, EXPERIMENT).rename(tmp_path / "elsewhere")
    for target in (NAME, EXPERIMENT.model_folder(roots)):
        result = run(target, "--references", elsewhere, "--json")
        assert (result.return_value, json.loads(result.stdout)["folds"]) == (0, ["fold_0", "fold_3"])


def test_a_second_readers_references_are_not_measured_by_the_scores_of_the_first(roots: Roots, tmp_path: Path) -> None:
    second_reader = tmp_path / "second"
    for case in "abc":
        write_case(second_reader / f"{case}.nii.gz", HIGHER)
    result = run(NAME, "--references", second_reader, "--json")
    shown = json.loads(result.stdout)
    assert (shown["n_evaluated"], shown["problems"]) == (3, [])
    assert shown["labels"]["organ"]["metrics"]["dice"]["mean"] == 1.0


def test_a_model_of_plain_nnunet_is_evaluated_with_the_split_that_it_trained_with(roots: Roots) -> None:
    model = EXPERIMENT.model_folder(roots)
    for fold in ("fold_0", "fold_3"):
        for path in (model / fold / ".nnunet_assets").iterdir():
            path.unlink()
        append_record(journal_path(model / fold), "start", {})  # as a tracked trainer leaves one
    split = [{"train": [], "val": cases} for cases in (["a", "b"], [], [], ["c"])]
    write_json(references_of(roots, EXPERIMENT).parent / "splits_final.json", split)
    result = run(model, "--json")
    shown = json.loads(result.stdout)
    assert (result.return_value, shown["n_evaluated"]) == (0, 3)
    # What `cv_evaluation` would not count is not in its folder.
    assert Path(shown["files"]).parent == EXPERIMENT.summary_folder(roots) / "evaluation"

    (references_of(roots, EXPERIMENT).parent / "splits_final.json").unlink()
    result = run(model)
    assert result.return_value == 2
    assert "Which cases fold_0 is validated on is not known" in result.stdout


@pytest.fixture
def folders(tmp_path: Path, roots: Roots) -> tuple[Path, Path]:
    """A folder of predictions and one of references, dataset.json above the latter as in nnUNet_raw."""
    predictions, references = tmp_path / "predictions", tmp_path / "Dataset001_Tiny" / "labelsTs"
    write_case(predictions / "a.nii.gz", HIGHER)
    write_case(references / "a.nii.gz", REFERENCE)
    write_json(references.parent / "dataset.json", tiny_json())
    return predictions, references


def test_two_plain_folders_are_evaluated(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    for named in ([predictions], ["--predictions", predictions]):
        result = run(*named, "--references", references, "--json")
        assert (result.return_value, json.loads(result.stdout)["labels"]["organ"]["metrics"]["dice"]["mean"]) == (
            0,
            0.5,
        )
    assert (predictions / "nnunet_assets" / "evaluation" / "cases.csv").is_file()
    run(predictions, "--references", references, "--output", tmp_path / "mine")
    assert (tmp_path / "mine" / "cases.csv").is_file()


def test_a_prediction_without_a_reference_and_a_reference_without_a_prediction(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    write_case(predictions / "b.nii.gz", HIGHER)
    write_case(references / "c.nii.gz", np.zeros_like(REFERENCE))
    result = run(predictions, "--references", references)
    assert result.return_value == 2
    assert "1 of 2 cases" in result.stdout
    assert "Case 'c' has no prediction" in result.stdout
    assert "cases that are not to be evaluated: b. They are left out." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ([], EvaluationError, "Name either an experiment or folder"),
        (["predictions"], EvaluationError, "is not the folder of a model"),
        (["--predictions", "predictions"], EvaluationError, "needs --references"),
        (["Dataset004_Hippocampus/2d"], EvaluationError, "is neither a folder nor an experiment"),
        (["--predictions", "gone", "--references", "gone"], EvaluationError, "There is no dataset.json"),
        ([NAME, "--nsd-tolerance", "organ"], EvaluationError, "is not of the form LABEL=MM"),
        ([NAME, "--nsd-tolerance", "organs=1"], EvaluationError, "'organs' is no label"),
        ([NAME, "--project", "predictions"], ConfigError, "is not a project"),
    ],
)
@pytest.mark.usefixtures("folders")
def test_wrong_usage_is_said_in_a_sentence(arguments: list[Any], error: Any, sentence: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, error)
    assert re.search(sentence, str(result.exception))


def test_code_that_the_projects_env_file_trusts_may_be_named_by_plans(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions, references = folders
    monkeypatch.delenv(TRUSTED_CODE_VARIABLE, raising=False)
    monkeypatch.setattr(image_reader, "_class", lambda name: None)  # nnU-Net, whose import takes long, has no such
    write_json(predictions / "plans.json", {"image_reader_writer": "MyReader"})
    assert isinstance(run(predictions, "--references", references).exception, ForeignCodeError)
    (tmp_path / ".env").write_text(f"{TRUSTED_CODE_VARIABLE}=MyReader\n")
    assert run(predictions, "--references", references).return_value == 0
    write_json(references.parent / "dataset.json", {**tiny_json(), "overwrite_image_reader_writer": "Another"})
    assert isinstance(run(predictions, "--references", references).exception, ForeignCodeError)
    (tmp_path / ".env").write_text(f"{TRUSTED_CODE_VARIABLE}=MyReader,Another\n")
    assert run(predictions, "--references", references).return_value == 0


def test_a_prediction_that_is_no_file_is_missing_and_a_pipe_is_not_waited_for(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    for name, make in (("b.nii.gz", os.mkfifo), ("c.nii.gz", os.mkdir)):
        write_case(references / name, REFERENCE)
        make(predictions / name)
    result = run(predictions, "--references", references)
    assert result.return_value == 2
    assert re.sub(r"\s+", " ", result.stdout).count("has no prediction") == 2
