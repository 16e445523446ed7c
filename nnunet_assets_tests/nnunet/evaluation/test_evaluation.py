"""Saved predictions on disk against their references: the numbers, what is wrong with files, and what is kept."""

import csv
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files import digests
from nnunet_assets.core.files.digests import FileStat, now_ns
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.statistics.mean_intervals import bootstrap_of
from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.nnunet.evaluation import case_pairs, evaluation_cache
from nnunet_assets.nnunet.evaluation import evaluation as evaluation_module
from nnunet_assets.nnunet.evaluation.evaluation import evaluate_cases
from nnunet_assets.nnunet.evaluation.evaluation_cache import KEPT_FILE
from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders, cases_of_folds
from nnunet_assets.nnunet.images.label_image import label_reader
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables
from nnunet_assets_tests.builders import (
    EXPERIMENT,
    INPUTS,
    build_manifest,
    summary_entry,
    write_patients,
    write_validation_summary,
)
from nnunet_assets_tests.evaluation_builders import (
    HIGHER,
    HIGHER_SCORES,
    REFERENCE,
    SPACING_MM,
    references_of,
    write_case,
    write_fold,
    write_summary,
)
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.training_builders import roots_in

FOLDS = ["fold_0", "fold_1", "fold_2"]


@dataclass
class Model:
    """Two finished folds of three, with the cases a, b and c, d; every prediction is `HIGHER`."""

    roots: Roots

    @property
    def folder(self) -> Path:
        return EXPERIMENT.model_folder(self.roots)

    @property
    def output(self) -> Path:
        return self.folder / "nnunet_assets" / "evaluation"

    def prediction(self, case: str) -> Path:
        fold = "fold_0" if case in "ab" else "fold_1"
        return self.folder / fold / "validation" / f"{case}.nii.gz"

    def reference(self, case: str) -> Path:
        return references_of(self.roots, EXPERIMENT) / f"{case}.nii.gz"

    def evaluate(self, tolerances: Mapping[str, float] | None = None, n_workers: int | None = None) -> Evaluation:
        found = cases_of_folds(self.folder, references_of(self.roots, EXPERIMENT), FOLDS, "the model")
        policy = metric_policy(found.description, tolerances)
        return evaluate_cases(
            found,
            policy,
            self.output,
            write_table=write_case_table,
            write_labels=write_label_tables,
            n_workers=n_workers,
        )

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(self.output / "cases.parquet").to_pylist()
        return found


@pytest.fixture
def model(tmp_path: Path) -> Model:
    roots = roots_in(tmp_path)
    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    write_fold(roots, EXPERIMENT, "fold_1", {"c": HIGHER, "d": HIGHER})
    return Model(roots)


def the_problem(evaluation: Evaluation) -> str:
    """Returns the only problem, of an evaluation that reports the other three cases all the same."""
    (problem,) = evaluation.problems
    assert evaluation.n_evaluated == 3
    return problem.message


class TestTheNumbers:
    def test_are_those_worked_out_by_hand_with_the_spacing_of_the_header(self, model: Model) -> None:
        evaluation = model.evaluate({"organ": 5.0, "lesion": 4.0})

        assert evaluation.problems == ()
        assert (evaluation.n_evaluated, evaluation.n_expected) == (4, 4)
        assert (evaluation.folds, evaluation.missing_folds) == (("fold_0", "fold_1"), ("fold_2",))
        rows = model.rows()
        assert [(row["fold"], row["case"], row["label"]) for row in rows][:3] == [
            ("fold_0", "a", "organ"),
            ("fold_0", "a", "lesion"),
            ("fold_0", "b", "organ"),
        ]
        # Both are two voxels thick along y and z, so every voxel is surface. A slice higher half of them lie on the
        # other surface and half 5 mm off; for the reference and the prediction alike.
        organ = rows[0]
        assert (organ["dice"], organ["iou"], organ["sensitivity"], organ["precision"]) == (0.5, 1 / 3, 0.5, 0.5)
        assert (organ["hd95_mm"], organ["assd_mm"], organ["nsd"]) == (5.0, 2.5, 1.0)
        assert (organ["reference_voxels"], organ["reference_ml"]) == (16, pytest.approx(0.16))
        assert (organ["volume_error_ml"], organ["volume_error_relative"]) == (0.0, 0.0)
        assert (rows[1]["nsd"], rows[1]["nsd_tolerance_mm"]) == (0.5, 4.0)

    def test_stand_in_csv_and_parquet_alike_and_in_one_line(self, model: Model) -> None:
        evaluation = model.evaluate()
        with (model.output / "cases.csv").open(newline="") as file:
            in_csv = list(csv.DictReader(file))
        assert [{**row, "dice": float(row["dice"])} for row in in_csv] == [
            {name: "" if value is None else value if name == "dice" else str(value) for name, value in row.items()}
            for row in model.rows()
        ]
        assert evaluation.headline() == (
            "4 of 4 cases, organ Dice 0.500 and HD95 5.000 mm, lesion Dice 0.500 and HD95 5.000 mm"
        )

    def test_come_with_their_definitions_and_policy(self, model: Model) -> None:
        model.evaluate({"organ": 3.0})
        content = json.loads((model.output / "evaluation.json").read_text())
        assert content["policy"]["labels"]["organ"] == {
            "values": [1],
            "nsd_tolerance_mm": 3.0,
            "counts_lesions": False,
        }
        assert content["policy"]["labels"]["lesion"]["nsd_tolerance_mm"] == 2.0
        assert "95th percentiles" in content["definitions"]["hd95_mm"]
        assert content["labels"]["organ"]["metrics"]["dice"] == {
            "mean": 0.5,
            "sd": 0.0,
            "median": 0.5,
            "n": 4,
            "n_defined": 4,
            "q1": 0.5,
            "q3": 0.5,
            "interval": None,
        }

    def test_have_intervals_of_the_patients_that_the_record_of_the_splits_names(self, model: Model) -> None:
        groups = {"a": "p1", "b": "p1", "c": "p2", "d": "p3"}
        assert model.evaluate().bootstrap == bootstrap_of("case", 4)
        write_patients(references_of(model.roots, EXPERIMENT).parent, groups)
        assert model.evaluate().bootstrap == bootstrap_of("patient", 3)
        content = json.loads((model.output / "evaluation.json").read_text())
        assert content["bootstrap"]["clustered_by"] == "patient"
        assert "Bayesian bootstrap of 3 patients (9999 resamples)" in (model.output / "labels.md").read_text()

    def test_of_empty_masks_are_counted_and_never_infinite(self, model: Model) -> None:
        without_lesion = np.where(HIGHER == 2, 0, HIGHER)
        write_fold(model.roots, EXPERIMENT, "fold_1", {"c": without_lesion, "d": without_lesion}, {"1": 0.5, "2": 0.0})
        only_organ = np.where(REFERENCE == 2, 0, REFERENCE)
        write_case(model.reference("d"), only_organ)
        write_fold_summary(model, {"c": {"1": 0.5, "2": 0.0}, "d": {"1": 0.5, "2": None}})

        lesion = model.evaluate().to_json()["labels"]["lesion"]

        assert (lesion["n_both_empty"], lesion["n_prediction_empty"], lesion["n_reference_empty"]) == (1, 1, 0)
        assert lesion["metrics"]["dice"]["mean"] == pytest.approx((0.5 + 0.5 + 0) / 3)
        assert (lesion["metrics"]["hd95_mm"]["n_defined"], lesion["metrics"]["nsd"]["n_defined"]) == (2, 3)

    @pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
    def test_are_the_same_in_other_formats(self, tmp_path: Path, ending: str) -> None:
        import SimpleITK

        for name, voxels in (("references", REFERENCE), ("predictions", HIGHER)):
            image = SimpleITK.GetImageFromArray(voxels.T)
            image.SetSpacing(SPACING_MM)
            image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
            (tmp_path / name).mkdir()
            SimpleITK.WriteImage(image, str(tmp_path / name / f"a{ending}"))
        (organ, _) = plain(tmp_path, ending=ending)
        assert (organ["dice"], organ["hd95_mm"], organ["assd_mm"]) == (0.5, 5.0, 2.5)
        assert organ["reference_ml"] == pytest.approx(0.16)

    def test_of_flat_images_are_in_pixels_and_without_a_volume(self, tmp_path: Path) -> None:
        from skimage.io import imsave

        reference, prediction = np.zeros((12, 10), np.uint8), np.zeros((12, 10), np.uint8)
        reference[2:6, 2:6], prediction[3:7, 2:6] = 1, 1
        for name, pixels in (("references", reference), ("predictions", prediction)):
            (tmp_path / name).mkdir()
            imsave(tmp_path / name / "a.png", pixels, check_contrast=False)
        (organ, _) = plain(tmp_path, ending=".png")
        assert (organ["dice"], organ["hd95_mm"], organ["reference_ml"]) == (0.75, 1.0, None)


def plain(folder: Path, *, ending: str = ".nii.gz", **evaluating: Any) -> list[dict[str, Any]]:
    """Evaluates the folders `predictions` and `references`, without a problem, and returns the rows."""
    description = write_json(folder / "dataset.json", tiny_json(file_ending=ending))
    found = cases_of_folders(folder / "predictions", folder / "references", description)
    policy = metric_policy(found.description)
    evaluation = evaluate_cases(
        found, policy, folder / "out", write_table=write_case_table, write_labels=write_label_tables, **evaluating
    )
    assert evaluation.problems == ()
    rows: list[dict[str, Any]] = pq.read_table(folder / "out" / "cases.parquet").to_pylist()
    return rows


def write_fold_summary(model: Model, scores: Mapping[str, Mapping[str, float | None]]) -> None:
    """Writes fold_1's summary.json anew, with Dice by case and label key (None: NaN), and commits the fold with it."""
    folder = model.folder / "fold_1"
    nan = {"Dice": math.nan, "IoU": math.nan}
    entries = [
        summary_entry(case, {key: nan if dice is None else dice for key, dice in found.items()})
        for case, found in scores.items()
    ]
    write_validation_summary(folder, entries)
    commit_fold(folder, replace(build_manifest(folder), details={"validation_cases": sorted(scores)}))


class TestWhatIsWrong:
    """A clear sentence each; the rest is still reported."""

    def test_a_prediction_of_another_shape(self, model: Model) -> None:
        write_case(model.prediction("b"), HIGHER[:, :, :5])
        assert "b.nii.gz has the shape 10 × 8 × 5, its reference 10 × 8 × 6." in the_problem(model.evaluate())

    def test_a_prediction_of_another_spacing(self, model: Model) -> None:
        write_case(model.prediction("b"), HIGHER, (2.0, 1.0, 5.0))
        assert "has a spacing of 2 × 1 × 5 mm, its reference 1 × 2 × 5." in the_problem(model.evaluate())

    def test_a_prediction_that_lies_elsewhere(self, model: Model) -> None:
        write_case(model.prediction("b"), HIGHER, moved_mm=(30.0, 0.0, 40.0))
        assert "has a place that is 50 mm from its reference's" in the_problem(model.evaluate())

    def test_but_not_one_whose_header_was_rounded(self, model: Model) -> None:
        write_case(model.prediction("b"), HIGHER, moved_mm=(0.0, 0.01, 0.0))
        assert model.evaluate().problems == ()

    @pytest.mark.parametrize("file", ["prediction", "reference"])
    def test_labels_that_nobody_named(self, model: Model, file: str) -> None:
        spoiled = HIGHER.copy()
        spoiled[0, 0, :2] = 7
        write_case(getattr(model, file)("c"), spoiled)
        message = the_problem(model.evaluate())
        assert message.startswith("Case 'c' of fold_1 was not evaluated: ")
        assert "has values that dataset.json does not declare: 7 (2 voxels); it declares 0, 1, 2." in message

    def test_probabilities_in_place_of_labels(self, model: Model) -> None:
        write_case(model.prediction("c"), HIGHER.astype(np.float32) / 3)
        assert "holds values that are no whole numbers" in the_problem(model.evaluate())

    def test_a_prediction_that_is_cut(self, model: Model) -> None:
        content = model.prediction("a").read_bytes()
        model.prediction("a").write_bytes(content[: len(content) // 2])
        assert "a.nii.gz is cut off" in the_problem(model.evaluate())

    def test_a_prediction_that_is_not_there(self, model: Model) -> None:
        model.prediction("a").unlink()
        assert the_problem(model.evaluate()).startswith("Case 'a' has no prediction ")

    def test_a_reference_that_is_not_there(self, model: Model) -> None:
        model.reference("a").unlink()
        assert the_problem(model.evaluate()).startswith("Case 'a' has no reference ")

    def test_a_prediction_that_was_changed_after_the_validation(self, model: Model) -> None:
        write_case(model.prediction("a"), REFERENCE)
        message = the_problem(model.evaluate())
        assert "it scores organ dice 1.000 instead of 0.500, organ iou 1.000 instead of 0.333" in message
        assert {row["case"] for row in model.rows()} == {"b", "c", "d"}

    def test_an_old_prediction_in_the_folder(self, model: Model) -> None:
        shutil.copy(model.prediction("a"), model.folder / "fold_0" / "validation" / "old.nii.gz")
        evaluation = model.evaluate()
        assert evaluation.n_evaluated == 4
        assert "cases that are not to be evaluated: old. They are left out." in evaluation.problem_text()

    @pytest.mark.parametrize(
        ("cases", "scores", "text", "sentence"),
        [
            ([], {}, '{"metric_per_case": [', "is torn, or not an evaluation of nnU-Net"),
            (["a", "b"], {"1": 0.5}, None, "The file belongs to another dataset"),
            (["a"], HIGHER_SCORES, None, "b (in the validation set but without a score)"),
            (["a", "b", "b"], HIGHER_SCORES, None, "b (more than once)"),
        ],
    )
    def test_a_summary_json_that_is_torn_or_of_other_cases(
        self, model: Model, cases: list[Any], scores: Any, text: str | None, sentence: str
    ) -> None:
        path = write_summary(model.folder / "fold_0", cases, scores)
        if text:
            path.write_text(text)

        evaluation = model.evaluate()

        assert evaluation.n_evaluated == 4
        changed, wrong = (problem.message for problem in evaluation.problems)
        assert changed.startswith("fold_0 was changed after it was finished")
        assert sentence in wrong

    def test_a_summary_json_with_nan_where_the_prediction_has_a_score(self, model: Model) -> None:
        write_fold_summary(model, {"c": {"1": 0.5, "2": 0.5}, "d": {"1": 0.5, "2": None}})
        assert "it scores lesion dice 0.500 instead of undefined" in the_problem(model.evaluate())

    def test_folds_of_another_making_are_reported_but_not_averaged(self, model: Model) -> None:
        model.evaluate()
        assert (model.output / "labels.csv").exists()
        write_fold(model.roots, EXPERIMENT, "fold_1", {"c": HIGHER}, inputs=replace(INPUTS, raw_hash="another"))
        evaluation = model.evaluate()
        assert (evaluation.labels, evaluation.n_evaluated) == (None, 3)
        assert "fold_1 and fold_0 differ in raw data. Each case is reported" in evaluation.problem_text()
        assert evaluation.bootstrap is None
        assert not (model.output / "labels.csv").exists()

    def test_a_case_in_two_folds_is_reported_but_not_averaged(self, model: Model) -> None:
        write_fold(model.roots, EXPERIMENT, "fold_1", {"a": HIGHER, "c": HIGHER, "d": HIGHER})
        assert model.evaluate().labels is None
        assert len(model.rows()) == 10

    def test_nothing_finished(self, tmp_path: Path) -> None:
        write_json(tmp_path / "dataset.json", tiny_json())
        with pytest.raises(EvaluationError, match="No fold of the model is finished"):
            cases_of_folds(tmp_path, tmp_path, FOLDS, "the model")

    def test_no_case_that_can_be_evaluated(self, model: Model) -> None:
        for case in "abcd":
            model.reference(case).unlink()
        with pytest.raises(EvaluationError, match="None of the 4 cases of the model could be evaluated:\nCase 'a' has"):
            model.evaluate().refuse_empty()

    def test_a_dataset_json_that_is_torn(self, model: Model) -> None:
        (model.folder / "dataset.json").write_text("{")
        with pytest.raises(DatasetError, match="is not valid JSON"):
            model.evaluate()

    @pytest.mark.parametrize(
        ("tolerances", "sentence"),
        [
            ({"organs": 1.0}, "'organs' is no label to be evaluated; dataset.json has organ, lesion"),
            ({"organ": 0.0}, "above 0"),
        ],
    )
    def test_a_tolerance_that_makes_no_sense(self, model: Model, tolerances: dict[str, Any], sentence: str) -> None:
        with pytest.raises(EvaluationError, match=sentence):
            model.evaluate(tolerances)


class TestWhatIsKept:
    def test_a_second_run_opens_no_file_and_says_the_same(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)
        first = model.evaluate()
        table = (model.output / "cases.csv").read_bytes()
        for name in ("file_pair", "label_reader"):
            monkeypatch.setattr(case_pairs, name, None)
        second = model.evaluate()
        assert (first.n_computed, second.n_computed) == (4, 0)
        assert second.to_json() == first.to_json()
        assert (model.output / "cases.csv").read_bytes() == table

    def test_touched_and_copied_files_are_known_by_their_content(self, model: Model) -> None:
        model.evaluate()
        for case in "ab":
            content = model.prediction(case).read_bytes()
            model.prediction(case).unlink()
            model.prediction(case).write_bytes(content)
        assert model.evaluate().n_computed == 0

    def test_a_prediction_of_another_content_is_computed_anew(self, model: Model) -> None:
        model.evaluate()
        before = model.prediction("a").stat()
        content = bytearray(model.prediction("a").read_bytes())
        content[4:8] = b"\1\2\3\4"  # the time in gzip's header: other bytes, the same voxels, size and time stamp
        model.prediction("a").write_bytes(content)
        os.utime(model.prediction("a"), ns=(before.st_atime_ns, before.st_mtime_ns))
        assert model.evaluate().n_computed == 1

    def test_a_prediction_that_changes_within_one_tick_of_the_clock_is_computed_anew(
        self, model: Model, one_tick: None
    ) -> None:
        assert model.evaluate().n_computed == 4
        assert model.evaluate().n_computed == 0
        write_case(model.prediction("a"), REFERENCE)
        assert model.evaluate().n_computed == 1

    def test_a_prediction_that_changes_so_while_it_is_read_is_not_kept_for_another(
        self, model: Model, monkeypatch: pytest.MonkeyPatch, one_tick: None
    ) -> None:
        self.test_a_file_that_is_changed_while_it_is_read_is_not_kept_for_another(model, monkeypatch)

    @pytest.fixture
    def one_tick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files whose size, times and inode never change, dated now."""
        always = FileStat(100, now_ns(), now_ns(), 7)
        monkeypatch.setattr(evaluation_cache, "stat_of", lambda _: always)

    def test_another_tolerance_is_computed_and_both_are_kept(self, model: Model) -> None:
        model.evaluate()
        assert model.evaluate({"organ": 5.0}).n_computed == 4
        assert model.evaluate().n_computed == 0

    def test_what_a_kill_tore_costs_that_case_alone(self, model: Model) -> None:
        model.evaluate()
        kept = model.output / KEPT_FILE
        kept.write_bytes(kept.read_bytes()[:-20])
        assert model.evaluate().n_computed == 1
        assert model.evaluate().n_computed == 0

    def test_an_interrupted_run_keeps_what_it_had(self, model: Model) -> None:
        found = cases_of_folds(model.folder, references_of(model.roots, EXPERIMENT), FOLDS, "the model")
        policy = metric_policy(found.description)

        class Interrupted(Silent):
            def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
                if n_done == 2:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate_cases(
                found,
                policy,
                model.output,
                write_table=write_case_table,
                write_labels=write_label_tables,
                progress=Interrupted(),
                n_workers=1,
            )
        assert not (model.output / "evaluation.json").exists()
        assert model.evaluate().n_computed == 2

    def test_a_disk_that_is_full_is_no_cases_fault_and_leaves_no_torn_line(
        self, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, n_written = os.write, 0

        def half_of_the_third(handle: int, content: bytes) -> int:
            nonlocal n_written
            n_written += 1
            return write(handle, content[: len(content) // 2] if n_written == 3 else content)

        monkeypatch.setattr(os, "write", half_of_the_third)
        with pytest.raises(EvaluationError, match=f"written to .*{KEPT_FILE}: No space left on device. Make room"):
            model.evaluate(n_workers=1)
        lines = (model.output / KEPT_FILE).read_bytes().splitlines(keepends=True)
        assert [line[-1:] for line in lines] == [b"\n", b"\n"]
        assert model.evaluate().n_computed == 2

    def test_a_file_that_is_changed_while_it_is_read_is_not_kept_for_another(
        self, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def changed_then_read(path: Path) -> Any:
            if path == model.prediction("a"):
                write_case(path, REFERENCE)
            return read(path)

        read = label_reader("SimpleITKIO", ".nii.gz")
        monkeypatch.setattr(case_pairs, "label_reader", lambda *_: changed_then_read)
        assert "was changed while it was read" in the_problem(model.evaluate())
        assert len((model.output / KEPT_FILE).read_bytes().splitlines()) == 3

    def test_lines_that_nobody_needs_any_more_go(self, model: Model) -> None:
        for tolerance_mm in (1.0, 2.0, 3.0):
            model.evaluate({"organ": tolerance_mm})
        assert len((model.output / KEPT_FILE).read_bytes().splitlines()) == 4
        assert model.evaluate({"organ": 3.0}).n_computed == 0

    def test_a_second_evaluation_at_the_same_time_is_refused(self, model: Model) -> None:
        with evaluation_module._sole_evaluation(model.output), pytest.raises(EvaluationError, match="Another process"):
            model.evaluate()
        model.evaluate()


class TestManyCases:
    def test_are_computed_at_once_and_no_more_are_read_than_workers(
        self, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock, now, most = threading.Lock(), 0, 0
        evaluate = case_pairs._evaluate

        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.05)
            try:
                return evaluate(*arguments, **named)
            finally:
                with lock:
                    now -= 1

        monkeypatch.setattr(case_pairs, "_evaluate", counted)
        assert model.evaluate(n_workers=2).n_computed == 4
        assert most == 2

    def test_leave_no_temporary_file(self, model: Model) -> None:
        model.evaluate()
        assert {path.name for path in model.output.iterdir()} == {
            ".lock",
            "cases.csv",
            "cases.parquet",
            "evaluation.json",
            "labels.csv",
            "labels.md",
            "labels.tex",
            KEPT_FILE,
        }

    def test_fewer_at_a_time_where_memory_is_short(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        found = cases_of_folds(model.folder, references_of(model.roots, EXPERIMENT), FOLDS, "the model")
        monkeypatch.setattr(case_pairs, "usable_cpus", lambda: 8)
        needed = REFERENCE.size * case_pairs.BYTES_A_VOXEL

        def n_workers(available: int) -> int:
            memory = type("Memory", (), {"available": available})
            monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
            return case_pairs._n_workers(found.cases)

        assert [n_workers(needed * n) for n in (0, 1, 3, 100)] == [1, 1, 3, 4]
