"""The declared evaluation of folds that were committed as the fold process commits them, but never trained."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.evaluation.evaluation_files import evaluation_folder
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.evaluate import (
    Evaluated,
    Target,
    declared_evaluation,
    evaluate,
    evaluate_as_declared,
    target_named,
    target_of_folds,
)
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.evaluation_builders import HIGHER, references_of, write_fold
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
FOLDS = ["fold_0", "fold_1", "fold_2"]
DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset001_Tiny, folds: 3, nsd_tolerance_mm: {organ: 9}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two finished folds of three."""
    settings = Settings.from_environment(tmp_path, {})
    write_fold(settings.roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"c": HIGHER})
    return settings


def evaluated(settings: Settings, progress: RecordedProgress | None = None, **tolerances_mm: float) -> Evaluated:
    dataset = DatasetConfig(dataset=EXPERIMENT.dataset, nsd_tolerance_mm=tolerances_mm)
    model = EXPERIMENT.model_folder(settings.roots)
    target = target_of_folds(settings, model, FOLDS, EXPERIMENT.title, dataset=dataset)
    return evaluate_as_declared(settings, target, progress or RecordedProgress())


def test_a_second_time_computes_nothing_and_has_the_same_digest(settings: Settings) -> None:
    progress = RecordedProgress()
    first, second = evaluated(settings, progress), evaluated(settings, progress)

    assert progress.steps[:3] == [("cases evaluated", n_done, 3) for n_done in (1, 2, 3)]
    assert (first.evaluation.n_computed, second.evaluation.n_computed) == (3, 0)
    assert first.digest() == second.digest()
    assert evaluated(settings, organ=5.0).digest() != first.digest()


def test_folds_that_come_from_others_are_evaluated_without_a_mean(settings: Settings) -> None:
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"c": HIGHER}, inputs=replace(INPUTS, raw_hash="another"))

    found = evaluated(settings)

    assert found.content["labels"] is None
    assert "fold_2 and fold_0 differ in raw data. Each case is reported" in found.evaluation.problem_text()
    assert found.table_csv.read_text().count("\n") == 1 + 3 * 2


def test_a_case_of_two_folds_is_evaluated_without_a_mean(settings: Settings) -> None:
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"a": HIGHER})

    found = evaluated(settings)

    assert found.content["labels"] is None
    assert "Cases are validated in more than one fold: a. Each case is reported" in found.evaluation.problem_text()


def test_a_tolerance_of_a_label_that_is_not_there_is_refused(settings: Settings) -> None:
    with pytest.raises(EvaluationError, match="'orgam' is no label to be evaluated"):
        evaluated(settings, orgam=1.0)


class TestAnEvaluationThatIsNotTheDeclaredOne:
    def folder(self, settings: Settings, target: Target, **asked: Any) -> Path:
        wanted = {"tolerances_mm": {}, "lesion_labels": [], **asked}
        return evaluate(settings, target, RecordedProgress(), **wanted).folder

    def test_lies_in_a_folder_of_its_own_whose_name_says_what_was_measured(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        target = target_of_folds(settings, model, FOLDS, "it")
        declared = evaluation_folder(model)

        same, wider, wider_again, lesions = (
            self.folder(settings, target, **asked)
            for asked in (
                {},
                {"tolerances_mm": {"organ": 9.0}},
                {"tolerances_mm": {"organ": 9.0}},
                {"lesion_labels": ["lesion"]},
            )
        )

        assert same == declared
        assert wider == wider_again != lesions
        policy = metric_policy(target.found.description, {"organ": 9.0}, ())
        # As every version names it: what an older one left there is brought up to date.
        assert wider.name == json_sha256([policy.digest_of_version(1)])[:16]
        assert (wider.parent, lesions.parent, len(wider.name)) == (declared, declared, 16)
        elsewhere = settings.project / "tables"
        assert self.folder(settings, target, tolerances_mm={"organ": 9.0}, output=elsewhere) == elsewhere
        assert (elsewhere / "labels.csv").is_file()

    def test_is_one_of_other_references_or_folds_that_are_not_adopted_too(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        second_reader = settings.project / "second_reader"
        shutil.copytree(references_of(settings.roots, EXPERIMENT), second_reader)

        other = target_of_folds(settings, model, FOLDS, "it", references=second_reader)
        same = target_of_folds(settings, model, FOLDS, "it", references=references_of(settings.roots, EXPERIMENT))

        assert (other.others, same.others) == ([str(second_reader.resolve())], [])
        assert self.folder(settings, other).parent == self.folder(settings, same) == evaluation_folder(model)

    def test_without_any_case_there_is_none(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        for file in model.glob("fold_*/validation/*.nii.gz"):
            file.unlink()

        with pytest.raises(EvaluationError):
            self.folder(settings, target_of_folds(settings, model, FOLDS, "it"))


class TestWhatAUserNames:
    def test_is_a_declared_experiment_measured_as_declared(self, settings: Settings) -> None:
        write_project(settings.project, {"defs.yaml": DECLARED})

        target = target_named(settings, " Dataset001_Tiny / nnUNetTrainer__nnUNetPlans__2d ")

        assert (target.found.subject, target.tolerances_mm) == (EXPERIMENT.title, {"organ": 9.0})
        assert target.found.missing_folds == ["fold_1"]
        with pytest.raises(EvaluationError, match="'nothing' is neither a folder nor an experiment"):
            target_named(settings, "nothing")

    def test_is_the_folder_of_a_model_measured_as_declared_where_it_is(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        (model / "fold_all").mkdir()

        undeclared = target_named(settings, str(model))
        write_project(settings.project, {"defs.yaml": DECLARED})
        declared = target_named(settings, str(model))

        assert (undeclared.found.folds, undeclared.tolerances_mm) == (["fold_0", "fold_2"], {})
        assert (declared.found.missing_folds, declared.tolerances_mm) == (["fold_1"], {"organ": 9.0})
        assert undeclared.found.missing_folds == []

    def test_is_a_folder_of_predictions_which_needs_references(self, settings: Settings) -> None:
        predictions = EXPERIMENT.fold_folder(settings.roots, "fold_0") / "validation"
        references = references_of(settings.roots, EXPERIMENT)

        for name in (predictions, str(predictions)):
            with pytest.raises(EvaluationError, match="needs --references, the folder of what is right"):
                target_named(settings, name)
            with pytest.raises(EvaluationError, match=r"There is no dataset\.json, which names the labels, in"):
                target_named(settings, name, references=references)
        given = EXPERIMENT.model_folder(settings.roots) / "dataset.json"
        target = target_named(settings, predictions, references=references, dataset_json=given)
        assert [case.case for case in target.found.cases] == ["a", "b"]
        shutil.copyfile(given, references.parent / "dataset.json")
        assert target_named(settings, predictions, references=references).folder == evaluation_folder(predictions)

    def test_is_the_folder_of_a_model_whose_folds_are_numbered(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        write_fold(settings.roots, EXPERIMENT, "fold_10", {"d": HIGHER})
        for name in ("fold_all", "fold_x", "fold_²"):
            (model / name).mkdir()
        (model / "fold_3").touch()
        assert target_named(settings, str(model)).found.folds == ["fold_0", "fold_2", "fold_10"]
        # Of several experiments it is the one whose folder this is.
        write_project(
            settings.project, {"defs.yaml": DECLARED.replace("configuration: 2d", "configuration: 3d_fullres")}
        )
        assert target_named(settings, str(model)).tolerances_mm == {}

    def test_is_no_model_without_labels_or_folds(self, settings: Settings) -> None:
        model = EXPERIMENT.model_folder(settings.roots)
        (model / "dataset.json").rename(settings.project / "dataset.json")
        with pytest.raises(EvaluationError, match="is not the folder of a model"):
            target_named(settings, str(model))
        empty = settings.project / "empty"
        empty.mkdir()
        shutil.copyfile(settings.project / "dataset.json", empty / "dataset.json")
        (empty / "fold_0").touch()
        with pytest.raises(EvaluationError, match="is not the folder of a model"):
            target_named(settings, str(empty))

    def test_is_a_declared_ensemble(self, settings: Settings) -> None:
        other = replace(EXPERIMENT, trainer="nnUNetTrainer_100epochs")
        both = Experiment.ensemble(EXPERIMENT.dataset, "both")
        declared = f"""{DECLARED}---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: Dataset001_Tiny, configuration: 2d, trainer: {other.trainer}}}
---
type: nnunet_assets.components.Ensemble
attributes: {{dataset: Dataset001_Tiny, name: both, members: [nnUNetTrainer__nnUNetPlans__2d, {other.name}]}}
"""
        write_project(settings.project, {"defs.yaml": declared})
        write_fold(settings.roots, both, "fold_1", {"b": HIGHER})
        target = target_named(settings, "Dataset001_Tiny/ensembles/both")
        assert (target.found.subject, target.found.folds) == (both.title, ["fold_1"])
        with pytest.raises(EvaluationError, match="is neither a folder nor an experiment"):
            target_named(settings, "Dataset001_Tiny/ensembles/others")

    def test_has_its_labels_beside_the_masks_else_the_references_else_above_these(self, settings: Settings) -> None:
        predictions = EXPERIMENT.fold_folder(settings.roots, "fold_0") / "validation"
        references = references_of(settings.roots, EXPERIMENT)
        given = EXPERIMENT.model_folder(settings.roots) / "dataset.json"
        for place in (references.parent, references, predictions):
            shutil.copyfile(given, place / "dataset.json")
            assert target_named(settings, predictions, references=references).found.cases
            (references.parent / "dataset.json").write_text("{")
        (predictions / "dataset.json").write_text("{")
        with pytest.raises(DatasetError):
            target_named(settings, predictions, references=references)


def test_its_tables_lie_beside_it_and_are_part_of_its_digest(settings: Settings) -> None:
    found = evaluated(settings)
    assert found.table_parquet == found.folder / "cases.parquet"
    assert found.table_csv == found.folder / "cases.csv"
    assert found.table_parquet.is_file()
    before = found.digest()
    found.table_csv.write_text("changed")
    assert found.digest() != before


def test_what_is_declared_now_is_read_and_nothing_else(settings: Settings) -> None:
    dataset = DatasetConfig(dataset=EXPERIMENT.dataset, nsd_tolerance_mm={"organ": 5.0})
    with pytest.raises(EvaluationError):
        declared_evaluation(settings.roots, EXPERIMENT, dataset)
    content = evaluated(settings, organ=5.0).content
    assert declared_evaluation(settings.roots, EXPERIMENT, dataset) == content
    for other in ({"nsd_tolerance_mm": {"organ": 6.0}}, {"lesion_labels": ["lesion"]}):
        with pytest.raises(EvaluationError):
            declared_evaluation(settings.roots, EXPERIMENT, dataset.model_copy(update=other))


def test_folds_of_plain_nnunet_are_taken_where_their_folder_is_named(settings: Settings) -> None:
    model = EXPERIMENT.model_folder(settings.roots)
    shutil.rmtree(model / "fold_2" / ".nnunet_assets")
    for declared in (False, True):
        if declared:
            write_project(settings.project, {"defs.yaml": DECLARED})
        target = target_named(settings, str(model))
        assert (target.found.folds, target.others) == (["fold_0", "fold_2"], ["fold_2"])
    assert target_named(settings, "/".join(EXPERIMENT.key_prefix)).found.folds == ["fold_0"]


def test_a_folder_of_another_name_is_of_the_dataset_that_it_lies_in(settings: Settings) -> None:
    model = EXPERIMENT.model_folder(settings.roots)
    renamed = model.rename(model.with_name("mine"))
    target = target_named(settings, str(renamed))
    assert {case.reference.parent for case in target.found.cases} == {references_of(settings.roots, EXPERIMENT)}
