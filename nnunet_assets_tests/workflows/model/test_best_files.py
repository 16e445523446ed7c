"""The choice from real masks to its files, for people, for nnU-Net and for MLflow."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.results.best import best
from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets.core.model.package_files import read_steps
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import NoCandidateError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import best as best_module
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.model.best_files import MadeBestConfiguration, make_best_configuration
from nnunet_assets_tests.comparison_builders import DATASET, roots_of
from nnunet_assets_tests.evaluation_builders import write_case
from nnunet_assets_tests.postprocessing_builders import island_folds, organ, write_folds
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import write_json
from nnunet_assets_tests.verification_builders import said_of

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset001_Tiny, folds: 3}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 3d_fullres}
"""
FLAT = ExperimentConfig(dataset=DATASET, configuration="2d").identity
FULLRES = ExperimentConfig(dataset=DATASET, configuration="3d_fullres").identity
FILES = {
    *(f"best_configuration.{ending}" for ending in ("json", "csv", "parquet", "tex", "md")),
    "postprocessing.json",
    "postprocessing.pkl",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_project(tmp_path, {"defs.yaml": DECLARED})
    roots = roots_of(tmp_path)
    for experiment, islands in ((FLAT, [2, 3, 1, 2, 3, 2, 1, 2, 3]), (FULLRES, [9, 9, 9, 9, 9, 9, 9, 8, 9])):
        model = write_folds(roots, experiment, island_folds(islands))
        write_json(model / "plans.json", {"configurations": {experiment.configuration: {}}})
    return Settings.from_environment(tmp_path, {})


def declared(settings: Settings) -> Project:
    return read_project(settings.project)


def made(settings: Settings, **options: Any) -> MadeBestConfiguration:
    return make_best_configuration(settings, declared(settings), DATASET, makes_summaries=True, **options)


def folder_of(settings: Settings) -> Path:
    return comparison_folder(settings.roots, DATASET)


def test_a_step_that_helps_everywhere_is_part_of_what_is_chosen(settings: Settings) -> None:
    result = made(settings)
    best = result.found
    # After its step either model is perfect: the first of two equals is taken.
    assert best.chosen == f"{FLAT.name} + postprocessing"
    assert best.chosen_candidate.steps == ((1, 2),)
    assert best.chosen_candidate.mean == pytest.approx(1.0)
    assert best.expected.mean == pytest.approx(1.0)
    not_made, unknown = best.notes
    assert not_made.startswith("Not made, and no candidates: ensembles/2d-3d_fullres. Materialize found_ensembles")
    assert unknown == "Whose the cases are is not known: each counts as a patient of its own."
    assert {file.name for file in folder_of(settings).iterdir() if not file.name.startswith(".")} == FILES
    assert read_steps(folder_of(settings) / "postprocessing.json") == ((1, 2),)
    rows = list(csv.DictReader((folder_of(settings) / "best_configuration.csv").read_text().splitlines()))
    assert [row["candidate"] for row in rows if row["is_chosen"] == "True"] == [best.chosen]
    assert json.loads(result.file.read_text())["chosen"] == best.chosen


def test_plain_nnunet_is_told_how_to_predict_with_it(settings: Settings) -> None:
    result = made(settings)
    information, instructions = result.inference_files
    assert information == settings.roots.results / DATASET / "inference_information.json"
    text = instructions.read_text()
    assert f"nnUNetv2_predict -d {DATASET} -i INPUT_FOLDER -o OUTPUT_FOLDER -f  0 1 2 -tr nnUNetTrainer -c 2d" in text
    assert f"-pp_pkl_file {folder_of(settings) / 'postprocessing.pkl'}" in text
    said = json.loads(information.read_text())
    assert said["all_results"].keys() == {FLAT.name, FULLRES.name}
    assert result.no_inference_files == ""


def test_the_files_of_an_own_choice_of_nnunets_stay(settings: Settings) -> None:
    information = write_json(settings.roots.results / DATASET / "inference_information.json", {"folds": [0]})
    result = made(settings)
    assert result.inference_files == ()
    assert "nnUNetv2_find_best_configuration wrote" in result.no_inference_files
    assert json.loads(information.read_text()) == {"folds": [0]}


def test_without_postprocessing_no_mask_is_read(settings: Settings) -> None:
    for mask in settings.roots.results.rglob("*.nii.gz"):
        mask.unlink()
    result = made(settings, with_postprocessing=False)
    assert (result.found.chosen, result.found.postprocessing) == (FLAT.name, {})
    assert read_steps(folder_of(settings) / "postprocessing.json") == ()


def test_a_model_whose_masks_are_gone_is_chosen_from_as_it_is(settings: Settings) -> None:
    mask = next(FLAT.model_folder(settings.roots).rglob("*.nii.gz"))
    mask.unlink()
    best = made(settings).found
    assert list(best.postprocessing) == [FULLRES.name]
    assert best.chosen == f"{FULLRES.name} + postprocessing"
    (note,) = [note for note in best.notes if "is not looked at" in note]
    assert f"1 of the 9 validation masks of {FLAT.name} cannot be scored" in note
    assert mask.name.removesuffix(".nii.gz") not in note


def test_a_case_whose_mask_is_gone_keeps_its_score_and_the_other_cases_decide(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(settings).found
    mask = next(FLAT.model_folder(settings.roots).rglob("*.nii.gz"))
    mask.unlink()
    monkeypatch.setattr(best_module, "MOST_UNREAD", 0.12)
    found = made(settings).found
    before, after = ({one.name: one for one in of.candidates}[f"{FLAT.name} + postprocessing"] for of in (whole, found))
    plain = next(one for one in found.candidates if one.name == FLAT.name)
    assert (before.steps, before.mean, after.steps) == (((1, 2),), pytest.approx(1.0), ((1, 2),))
    # Of the one case in nine the island stays, and with it what the fold scored.
    assert plain.mean < after.mean < 1.0
    assert after.n_defined == before.n_defined
    (effect, *_) = found.postprocessing[FLAT.name]
    assert (effect.n_better, effect.n_worse) == (8, 0)
    (note,) = [note for note in found.notes if "counts as changing nothing" in note]
    assert mask.name.removesuffix(".nii.gz") not in note


def test_the_same_choice_has_the_same_digest(settings: Settings) -> None:
    assert made(settings).digest == made(settings).digest


def test_no_path_is_in_what_is_shown(settings: Settings) -> None:
    made(settings)
    for name in FILES:
        assert str(settings.project).encode() not in (folder_of(settings) / name).read_bytes()


def test_a_choice_goes_when_there_is_nothing_to_choose_from_any_more(settings: Settings) -> None:
    made(settings)
    for file in settings.roots.results.rglob("cv_summary.json"):
        file.unlink()
    with pytest.raises(NoCandidateError, match="it has no summary yet"):
        make_best_configuration(settings, declared(settings), DATASET)
    assert not [file for file in folder_of(settings).iterdir() if not file.name.startswith(".")]
    assert not list((settings.roots.results / DATASET).glob("inference_*"))


def test_of_a_dataset_that_has_no_results_at_all_nothing_is_chosen(tmp_path: Path) -> None:
    write_project(tmp_path, {"defs.yaml": DECLARED})
    with pytest.raises(NoCandidateError):
        made(Settings.from_environment(tmp_path, {}))


def of_the_choice(settings: Settings, file: Path) -> list[Finding]:
    found = said_of(settings, file, quick=False).findings
    return [one for one in found if one.level == "source" and "hoice" in one.what]


def test_its_tables_say_what_they_are_of_also_when_it_was_made_anew(settings: Settings, tmp_path: Path) -> None:
    made(settings)
    published = []
    for ending in ("csv", "parquet", "tex", "md"):
        file = folder_of(settings) / f"best_configuration.{ending}"
        said = [one.sentence for one in said_of(settings, file).findings if one.level == "file"]
        assert said[0].endswith(f"are those of {file.name}, made again from the choice of {DATASET}.")
        published.append(tmp_path / f"published.{ending}")
        published[-1].write_bytes(file.read_bytes())
    (choice,) = [one for one in of_the_choice(settings, published[0]) if "made again" in one.sentence]
    assert (choice.verdict, choice.sentence) == (
        "holds",
        f"The choice of {DATASET} is what its 2 summaries give: it was made again.",
    )
    write_case(next(FLAT.model_folder(settings.roots).rglob("validation/*.nii.gz")), organ(4))
    assert all(one.verdict == "unknown" for one in of_the_choice(settings, published[0]))
    made(settings, with_postprocessing=False)
    for file in published:
        said = [one.sentence for one in said_of(settings, file).findings if one.level in ("file", "source")]
        assert f"made again from an earlier choice of {DATASET}" in said[0]
        assert any("since then it was made anew, and says something else" in one for one in said)


def test_the_command_shows_and_writes_it(settings: Settings) -> None:
    command = [DATASET, "--project", str(settings.project)]
    result = CliRunner().invoke(best, command, standalone_mode=False, env={"COLUMNS": "250"})
    assert result.return_value == 0
    shown = " ".join(result.stdout.split())
    assert f"{FLAT.name} + postprocessing, of 4 candidates on 9 cases; expected Dice 1.000" in shown
    assert "Of the whole foreground (+0.0" in shown
    assert "Written: " in shown
    assert (folder_of(settings) / "best_configuration.json").is_file()


def test_what_is_found_is_what_is_written(settings: Settings) -> None:
    made_now = made(settings).found
    found = find_best_configuration(settings, declared(settings), DATASET, SILENT)
    assert replace(found, notes=()) == replace(made_now, notes=())
