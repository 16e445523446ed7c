"""`summarize` on real stores: the same numbers from MLflow, from a folder, from Dagster; of whatever was tracked."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import nnunet_assets
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs, commit_sha256
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.builders import write_patients
from nnunet_assets_tests.cli.results.commands import first_interval, run, summarized
from nnunet_assets_tests.cross_validation_builders import FOLDS, track_fold, write_fold
from nnunet_assets_tests.tracked_projects import DATASET, EXPERIMENT
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port, silent

pytestmark = MLFLOW_WARNINGS

SHORT = Experiment(DATASET, "2d", variant="short")
GROUP = f"{DATASET}/nnUNetTrainer__nnUNetPlans__3d_fullres"


def write_tracker_run(client: Any, number: str, fold: int, status: str, metrics: Mapping[str, float]) -> str:
    """A run as nnunet-tracker leaves it."""
    tags = {
        "nnunet_tracker.run_type": "fold",
        "nnunet_tracker.fold": str(fold),
        "nnunet_tracker.cv_group": "Dataset001_X|3d_fullres|nnUNetPlans",
    }
    run_id = client.create_run(number, tags=tags).info.run_id
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return str(run_id)


class TestTheSameNumbersEverywhere:
    def test_mlflow_folder_and_dagster_agree_to_the_last_digit(
        self, tracked: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for fold in FOLDS:
            folder = EXPERIMENT.fold_folder(tracked.roots, fold)
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=dg.AssetKey([*EXPERIMENT.key_prefix, "fold_model"]),
                    partition=fold,
                    metadata={"folder": dg.MetadataValue.path(folder)},
                    tags={"dagster/data_version": commit_sha256(folder)},
                )
            )
        tracked.dagster_home.mkdir()
        monkeypatch.setattr(dg.DagsterInstance, "from_config", lambda _home: instance)

        from_mlflow = summarized(tracked)

        assert from_mlflow["foreground"]["dice"]["pooled"]["mean"] == pytest.approx(
            ((0.9 + 0.7 + 0.8 + 0.31 + 1 / 3 + 0.95) / 6 + 1.5 / 5) / 2
        )
        assert from_mlflow["n_cases"] == 6
        assert summarized(tracked, "--source", "results") == from_mlflow
        assert summarized(tracked, "--results", EXPERIMENT.model_folder(tracked.roots)) == from_mlflow
        assert summarized(tracked, "--source", "dagster") == from_mlflow

    def test_a_fold_that_dagster_recorded_otherwise_is_named(
        self, tracked: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = EXPERIMENT.fold_folder(tracked.roots, "fold_1")
        key = dg.AssetKey([*EXPERIMENT.key_prefix, "fold_model"])
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=key, partition="fold_1", metadata={"folder": dg.MetadataValue.path(folder)}
            )
        )
        tracked.dagster_home.mkdir()
        monkeypatch.setattr(dg.DagsterInstance, "from_config", lambda _home: instance)

        result = run(tracked, "summarize", "-e", DATASET, "--source", "dagster")

        assert result.exit_code == 2
        assert "fold_0, fold_1, fold_2 of" in result.stderr
        assert "is not what Dagster recorded" in result.stderr


class TestIntervals:
    def test_are_those_of_the_asset_and_say_what_was_drawn(self, tracked: Settings) -> None:
        cases = summarized(tracked)
        assert cases["bootstrap"]["clustered_by"] == "case"
        _, interval = first_interval(cases)
        shown = run(tracked, "summarize", "-e", DATASET).stdout
        assert f"{interval['low']:.3f} to {interval['high']:.3f}" in shown
        assert "Median [quartiles]" in shown
        assert "Bayesian bootstrap of 6 cases (9999 resamples)" in shown

        groups = {case: case for folds in FOLDS.values() for case in folds}
        write_patients(tracked.roots.preprocessed / DATASET, groups)
        assert summarized(tracked)["bootstrap"]["clustered_by"] == "patient"
        assert summarized(tracked)["patients"] == groups


class TestExitCodesAndFolds:
    def test_a_missing_fold_ends_with_2_and_every_expected_one_with_0(self, tracked: Settings) -> None:
        missing = run(tracked, "summarize", "-e", DATASET)
        assert missing.exit_code == 2
        assert "3 of 5 folds (fold_3, fold_4 missing)" in missing.stdout
        complete = run(tracked, "summarize", "-e", DATASET, "--folds", "0,1,2")
        assert complete.exit_code == 0, complete.output
        assert "3 of 3 folds: Dice" in complete.stdout

    def test_the_declared_folds_are_expected_where_the_project_declares_the_experiment(self, tracked: Settings) -> None:
        folder = tracked.project / "experiments" / "one"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(
            "type: nnunet_assets.components.NnunetDataset\n"
            f"attributes: {{dataset: {DATASET}, folds: 3}}\n---\n"
            "type: nnunet_assets.components.CrossValidationExperiment\n"
            f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres}}\n"
        )
        assert run(tracked, "summarize", "-e", DATASET).exit_code == 0

    def test_more_than_five_folds_are_expected_where_they_are_finished_and_what_is_left_out_is_named(
        self, tracked: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_fold(EXPERIMENT.model_folder(tracked.roots), "fold_5", {"g": (0.5, 0.5)})
        content = summarized(tracked, "--source", "results")
        assert content["missing_folds"] == ["fold_3", "fold_4"]
        assert content["completed_folds"] == ["fold_0", "fold_1", "fold_2", "fold_5"]
        shown = run(tracked, "summarize", "-e", DATASET, "--source", "results", "--folds", "0,1")
        sentence = "Left out: fold_2, fold_5, finished too, but not among the folds fold_0, fold_1."
        assert (shown.exit_code, sentence in shown.stdout) == (0, True)
        assert summarized(tracked, "--folds", "0,1")["left_out_folds"] == ["fold_2"]
        written = run(tracked, "export", "-e", DATASET, "--source", "results", "--folds", "0,1", "--format", "csv")
        assert sentence in written.stderr
        monkeypatch.chdir(tracked.project)
        with pytest.warns(UserWarning, match="Left out: fold_2"):
            nnunet_assets.summarize_experiment(DATASET, expected_folds=[0, 1])

    @pytest.mark.parametrize("folds", ["0,0", "x", "", "-1"])
    def test_folds_that_are_none_are_an_error(self, tracked: Settings, folds: str) -> None:
        result = run(tracked, "summarize", "-e", DATASET, f"--folds={folds}")
        assert result.exit_code == 1
        assert "folds" in result.stderr

    def test_an_unknown_name_or_group_says_what_is_close(self, tracked: Settings) -> None:
        result = run(tracked, "summarize", "-e", "Dataset004_Hipocampus")
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"has no experiment 'Dataset004_Hipocampus'. Did you mean {DATASET}?" in result.stderr
        result = run(tracked, "summarize", "-e", DATASET, "--cv-group", f"{GROUP}x'")
        assert result.exit_code == 1
        assert f"Did you mean {GROUP}?" in result.stderr
        result = run(tracked, "summarize", "-e", "Dataset005_X", "--source", "results")
        assert result.exit_code == 1
        assert f"There are: {DATASET}." in result.stderr


class TestWhatCounts:
    def test_a_run_that_failed_or_still_runs_is_no_finished_fold(self, tracked: Settings) -> None:
        client = connect(Destination.of(tracked))
        home = get_or_create_experiment(client, DATASET, Destination.of(tracked))
        inputs = FoldInputs("raw", "plans", "splits", "training")
        for fold, status in (("fold_3", "FAILED"), ("fold_4", "RUNNING")):
            tags = names.fold_tags(EXPERIMENT, fold, inputs)
            made = client.create_run(home, tags=tags).info.run_id
            client.log_metric(made, "val_dice_mean", 0.99)
            if status == "FAILED":
                client.set_terminated(made, status)
        # Finished, but never validated: a script that called a tracked trainer and stopped after the training.
        tags = {**names.experiment_tags(EXPERIMENT, "fold"), names.FOLD: "fold_4"}
        client.set_terminated(client.create_run(home, tags=tags).info.run_id, "FINISHED")

        assert summarized(tracked)["missing_folds"] == ["fold_3", "fold_4"]
        (group,) = json.loads(run(tracked, "list", "--json").stdout)["experiments"][DATASET]
        assert group["finished_folds"] == ["fold_0", "fold_1", "fold_2"]
        assert group["n_runs"] == {"FAILED": 1, "FINISHED": 4, "RUNNING": 1}

    def test_the_newest_run_of_a_fold_counts_and_the_newest_group_is_taken(self, tracked: Settings) -> None:
        retrained = write_fold(EXPERIMENT.model_folder(tracked.roots), "fold_1", {"d": (0.5, 0.5)})
        track_fold(tracked, EXPERIMENT, retrained)
        assert summarized(tracked)["folds"][1]["cases"]["d"]["tumor (core)"]["dice"] == 0.5

        track_fold(tracked, SHORT, write_fold(SHORT.model_folder(tracked.roots), "fold_0", {"a": (0.1, 0.2)}))

        assert summarized(tracked)["cv_group"] == f"{DATASET}/short/nnUNetTrainer__nnUNetPlans__2d"
        assert summarized(tracked, "--source", "results")["cv_group"] == summarized(tracked)["cv_group"]
        assert summarized(tracked, "--cv-group", GROUP)["completed_folds"] == ["fold_0", "fold_1", "fold_2"]
        assert summarized(tracked, "--cv-group", "nnUNetPlans 3d_fullres")["cv_group"] == GROUP

    @pytest.mark.parametrize("source", ["mlflow", "results"])
    def test_of_several_groups_it_is_said_which_one_was_taken_and_how_another_is(
        self, tracked: Settings, source: str
    ) -> None:
        asked = ("-e", DATASET, "--source", source)
        assert "Taken:" not in run(tracked, "summarize", *asked).stdout
        track_fold(tracked, SHORT, write_fold(SHORT.model_folder(tracked.roots), "fold_0", {"a": (0.1, 0.2)}))
        taken = f"{DATASET}/short/nnUNetTrainer__nnUNetPlans__2d"
        sentence = f"Taken: {taken}, the group with the newest finished fold. --cv-group chooses another: {GROUP}."

        shown = run(tracked, "summarize", *asked).stdout
        assert shown.startswith(sentence)
        assert summarized(tracked, "--source", source)["other_cv_groups"] == [GROUP]
        assert sentence in run(tracked, "export", *asked, "--format", "csv").stderr
        assert "Taken:" not in run(tracked, "summarize", *asked, "--cv-group", GROUP).stdout
        assert "Taken:" not in run(tracked, "export", *asked, "--cv-group", GROUP, "--format", "csv").stderr

    def test_folds_of_other_raw_data_are_not_averaged_and_the_odd_one_is_named(self, tracked: Settings) -> None:
        other = FoldInputs("other raw data", "plans", "splits", "training")
        odd = write_fold(EXPERIMENT.model_folder(tracked.roots), "fold_1", {"d": (0.5, 0.5)}, other)
        track_fold(tracked, EXPERIMENT, odd)

        for source in ("mlflow", "results"):
            result = run(tracked, "summarize", "-e", DATASET, "--source", source)
            assert result.exit_code == 1
            assert "fold_1 and fold_0, fold_2 differ in raw data" in result.stderr

    def test_folds_without_files_are_named_and_no_server_is_blamed(self, tracked: Settings) -> None:
        (file,) = [path for path in tracked.artifacts.glob("*/artifacts/summary.json") if "/d.nii" in path.read_text()]
        file.unlink()
        content = summarized(tracked)
        assert content["reason_without_cases"] == (
            "MLflow has no scores by case of fold_1, and so there are no pooled means here."
        )

    def test_a_run_that_lacks_a_tag_is_listed_with_a_remark_and_not_summarized(self, tracked: Settings) -> None:
        client = connect(Destination.of(tracked))
        home = get_or_create_experiment(client, "odd", Destination.of(tracked))
        tags = {names.RUN_TYPE: "fold", names.EXPERIMENT: "D/x", names.FOLD: "fold_0", names.TRAINING_HASH: "t"}
        client.set_terminated(client.create_run(home, tags=tags).info.run_id, "FINISHED")

        shown, machine = run(tracked, "list"), run(tracked, "list", "--json")

        assert (shown.exit_code, EXPERIMENT.name in shown.stdout) == (0, True)
        assert "lacks the tag nnunet_assets.dataset, nnunet_assets.configuration" in shown.stdout
        assert "lacks the tag" in json.loads(machine.stdout)["experiments"]["odd"][0]["remark"]
        refused = run(tracked, "summarize", "-e", "odd")
        assert (refused.exit_code, "lacks the tag" in refused.stderr) == (1, True)


class TestRunsOfTheTracker:
    @pytest.fixture
    def foreign(self, with_store: Settings) -> Settings:
        client = connect(Destination.of(with_store))
        number = client.create_experiment("old", artifact_location=with_store.artifacts.as_uri())
        for fold, ema in ((0, 0.8), (1, 0.9)):
            metrics = {"ema_fg_dice": ema, "mean_fg_dice": 0.1, "dice_class_0": ema - 0.1, "dice_class_1": math.nan}
            metrics["val_loss"] = -ema
            write_tracker_run(client, number, fold, "FINISHED", metrics)
        write_tracker_run(client, number, 2, "FAILED", {"ema_fg_dice": 0.99})
        return with_store

    def test_their_numbers_are_called_pseudo_dice_in_every_output(self, foreign: Settings) -> None:
        result = run(foreign, "summarize", "-e", "old")
        assert result.exit_code == 2, result.output
        assert "2 of 5 folds (fold_2, fold_3, fold_4 missing): pseudo Dice 0.850" in result.stdout
        assert "not the Dice of whole validation cases" in result.stdout
        content = json.loads(run(foreign, "summarize", "-e", "old", "--json").stdout)
        assert (content["score"], content["made_by"]) == ("pseudo_dice", "nnunet-tracker")
        assert content["aggregate_metrics"]["cv_mean_fg_pseudo_dice"] == pytest.approx(0.85)
        assert content["aggregate_metrics"]["cv_mean_pseudo_dice_class_0"] == pytest.approx(0.75)
        others = {key: value for key, value in content["aggregate_metrics"].items() if "pseudo" not in key}
        assert others == {
            "cv_mean_val_loss": pytest.approx(-0.85),
            "cv_std_val_loss": pytest.approx(0.5**0.5 / 10),
            "cv_mean_ema_fg_dice": pytest.approx(0.85),
            "cv_std_ema_fg_dice": pytest.approx(0.5**0.5 / 10),
        }
        assert content["trainings"]["fold_1"]["val_loss"] == -0.9
        assert "class 0" in result.stdout
        assert content["folds"][0]["training"]["run_id"] in result.stdout
        rows = list(csv.DictReader(run(foreign, "export", "-e", "old", "--format", "csv").stdout.splitlines()))
        assert {row["metric"] for row in rows} == {"pseudo_dice"}
        assert [row["label"] for row in rows] == ["class 0", "class 1", "foreground mean"]
        latex = run(foreign, "export", "-e", "old", "--format", "latex", "--caption", "My result").stdout
        assert r"\caption{Pseudo Dice, no result: My result}" in latex
        assert "pseudo Dice (nnunet-tracker)" in run(foreign, "list").stdout

    def test_one_name_for_two_numbers_raises_and_names_both(self, foreign: Settings) -> None:
        client = connect(Destination.of(foreign))
        number = client.create_experiment("validated", artifact_location=foreign.artifacts.as_uri())
        scores = {"final_val_mean_fg_dice": 0.8, "final_val_dice_class_1": 0.7, "final_val_dice_class_10": 0.9}
        pseudo = {"ema_fg_dice": 0.9, "dice_class_0": 0.6, "dice_class_1": 0.5, "val_loss": -0.4}
        run_id = write_tracker_run(client, number, 0, "FINISHED", {**scores, **pseudo})

        summary = nnunet_assets.summarize_experiment(
            "validated", Destination.of(foreign).tracking_uri, None, (0,), project=foreign.project
        )

        assert isinstance(summary, nnunet_assets.CVSummary)
        assert summary.cv_group == "Dataset001_X|3d_fullres|nnUNetPlans"
        assert (summary.experiment_name, summary.is_complete, summary.is_pseudo) == ("validated", True, False)
        assert summary.fold_results == {0: nnunet_assets.FoldResult(0, run_id, "FINISHED", {0: 0.6, 1: 0.5}, -0.4, 0.9)}
        assert summary.all_class_indices == [0, 1]
        metrics = summary.compute_aggregate_metrics()
        assert metrics["cv_mean_dice_label_1"] == 0.7
        assert metrics["cv_mean_pseudo_dice_class_1"] == 0.5
        assert (metrics["cv_mean_val_loss"], metrics["cv_mean_ema_fg_dice"]) == (-0.4, 0.9)
        both = "cv_mean_dice_label_1 is the Dice of whole .*cv_mean_pseudo_dice_class_1 is the pseudo Dice"
        for ask in (metrics.get, metrics.__getitem__):
            with pytest.raises(ValueError, match=both):
                ask("cv_mean_dice_class_1")
        labels = list(summary.to_dataframe("label")["label"])
        assert labels[:2] == ["label 1", "label 10"]
        assert "class 0" in labels
        run_of_summary = nnunet_assets.log_cv_summary(
            summary, Destination.of(foreign).tracking_uri, project=foreign.project
        )
        home = client.get_run(run_of_summary).info.experiment_id
        assert client.get_experiment(home).name == "validated"

    def test_models_of_every_case_are_listed(self, foreign: Settings) -> None:
        client = connect(Destination.of(foreign))
        number = client.get_experiment_by_name("old").experiment_id
        tags = {"nnunet_tracker.run_type": "final", "nnunet_tracker.fold": "all"}
        tags["nnunet_tracker.cv_group"] = "Dataset001_X|3d_fullres|nnUNetPlans"
        made = client.create_run(number, tags=tags).info.run_id
        client.set_terminated(made, "FINISHED")
        (group,) = json.loads(run(foreign, "list", "--json").stdout)["experiments"]["old"]
        assert group["finished_folds"] == ["fold_0", "fold_1", "fold_all"]
        assert "0, 1, all" in run(foreign, "list").stdout
        assert json.loads(run(foreign, "summarize", "-e", "old", "--json").stdout)["left_out_folds"] == []

    def test_dice_and_pseudo_dice_are_never_averaged_with_each_other(self, foreign: Settings) -> None:
        client = connect(Destination.of(foreign))
        number = client.get_experiment_by_name("old").experiment_id
        write_tracker_run(client, number, 2, "FINISHED", {"final_val_mean_fg_dice": 0.2, "final_val_dice_class_1": 0.2})

        result = run(foreign, "summarize", "-e", "old")

        assert result.exit_code == 1
        assert "fold_2 has dice" in result.stderr
        assert "must not be mixed" in result.stderr
        alone = json.loads(run(foreign, "summarize", "-e", "old", "--folds", "2", "--json").stdout)
        assert alone["aggregate_metrics"] == {"cv_mean_fg_dice": 0.2, "cv_mean_dice_label_1": 0.2}

    def test_a_group_whose_validation_was_logged_is_listed_with_dice(self, foreign: Settings) -> None:
        client = connect(Destination.of(foreign))
        number = client.create_experiment("validated", artifact_location=foreign.artifacts.as_uri())
        write_tracker_run(client, number, 0, "FINISHED", {"ema_fg_dice": 0.9, "final_val_mean_fg_dice": 0.8})
        listed = json.loads(run(foreign, "list", "--json").stdout)["experiments"]
        assert [listed[name][0]["score"] for name in ("validated", "old")] == ["dice", "pseudo_dice"]

    def test_the_folder_that_mlflow_used_to_keep_runs_in_is_read_and_not_written_to(
        self, with_store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow import MlflowClient

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        client = MlflowClient((tmp_path / "mlruns").as_uri())
        write_tracker_run(client, client.create_experiment("ancient"), 0, "FINISHED", {"ema_fg_dice": 0.7})
        monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")

        result = run(with_store, "summarize", "-e", "ancient", "--tracking-uri", tmp_path / "mlruns", "--folds", "0")

        assert result.exit_code == 0, result.output
        assert "hold-out (fold_0): pseudo Dice 0.700" in result.stdout
        assert "ancient" in run(with_store, "list", "--tracking-uri", f"file:{tmp_path}/mlruns").stdout
        gone = run(with_store, "list", "--tracking-uri", tmp_path / "nothing")
        assert gone.exit_code == 1
        assert "is a folder that is not there" in gone.stderr


class TestBadInput:
    def test_a_server_that_is_not_there_or_never_answers_is_a_sentence_in_bounded_time(
        self, with_store: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = run(with_store, "summarize", "-e", "x", "--tracking-uri", f"http://127.0.0.1:{free_port()}")
        assert result.exit_code == 1
        where, problem = result.stderr.splitlines()
        assert "is not a project" in where
        assert "is not reachable" in problem
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with silent() as uri:
            result = run(with_store, "list", "--tracking-uri", uri)
        assert result.exit_code == 1
        assert f"MLflow at {uri} is not reachable" in result.stderr

    @pytest.mark.parametrize(
        ("spoil", "sentence"),
        [
            (lambda text: text[: len(text) // 2], "is torn"),
            (lambda text: text.replace('"a.nii.gz', '"z.nii.gz').replace("/a.nii.gz", "/z.nii.gz"), "z (not in"),
            (lambda text: text.replace("/b.nii.gz", "/a.nii.gz"), "a (more than once)"),
            (lambda text: text.replace('"2"', '"3"'), "belongs to another dataset"),
            (lambda text: text.replace("0.7,", "0.71,"), "does not hold the scores that fold_0 was committed with"),
        ],
    )
    def test_scores_that_are_spoiled_on_the_server_are_refused(
        self, tracked: Settings, spoil: Any, sentence: str
    ) -> None:
        (file,) = [
            file for file in tracked.artifacts.glob("*/artifacts/summary.json") if "/a.nii.gz" in file.read_text()
        ]
        file.write_text(spoil(file.read_text()))

        result = run(tracked, "summarize", "-e", DATASET)

        assert result.exit_code == 1
        assert sentence in result.stderr
        assert "--results" in result.stderr
