"""Whatever happens to folds, every source gives the same numbers of them, or says that it does not have the last ones.

Two projects on one tracking store, in which folds are adopted, validated again here and elsewhere, copied, moved, sent
and not sent, in any order. The default run draws few sequences, `make test-faults` many.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nnunet_assets.assets.fold.adopted_folds import materialization
from nnunet_assets.assets.fold.recorded_folds import DagsterRecord
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold, read_committed
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.fold.journal import Record, journal_path, read_records, write_records
from nnunet_assets.core.summary.cv_groups import group_name
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.errors import NnunetAssetsError, SummaryError
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.nnunet.results.own_folds import behind
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets.nnunet.training.validation_series import series_of
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker, send_waiting
from nnunet_assets.tracking.runs.run_names import fold_run_name
from nnunet_assets.tracking.store import client
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import fold_tags
from nnunet_assets.workflows.fold import adopted_fold_run, sync
from nnunet_assets.workflows.fold.adopted_fold_run import back_fill, prepare
from nnunet_assets.workflows.results.recorded_summaries import mlflow_record
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.foreign_fold_builders import DATASET, DESCRIPTION, write_foreign_fold
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DEFAULT, VARIANT = Experiment(DATASET, "3d_fullres"), Experiment(DATASET, "3d_fullres", variant="v")
ADOPTED, NATIVE = ("fold_0", "fold_1"), "fold_2"
FOLDS = (*ADOPTED, NATIVE)
PATIENCE_SECONDS = 900.0

projects = st.sampled_from(["first", "second"])
experiments = st.sampled_from([DEFAULT, VARIANT])
foreign_folds = st.sampled_from(ADOPTED)
scores = st.sampled_from([0.25, 0.5, 0.75, float("nan")])


class Folds(RuleBasedStateMachine):
    """Two projects, and what may befall their folds."""

    new_store: bytes

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="every_source"))
        self.uri = f"sqlite:///{self.place}/mlflow.db"
        (self.place / "mlflow.db").write_bytes(self.new_store)
        self.n_moves = 0
        self.results = {name: self.place / name / "results" for name in ("first", "second")}
        self.instance = dg.DagsterInstance.ephemeral().__enter__()

    def teardown(self) -> None:
        self.instance.__exit__(None, None, None)
        shutil.rmtree(self.place)

    def settings(self, project: str) -> Settings:
        roots = Roots(self.place / "raw", self.place / "preprocessed", self.results[project])
        variables = {"MLFLOW_TRACKING_URI": self.uri, **roots.environment()}
        return Settings.from_environment(self.place / project, variables)

    def folder(self, project: str, experiment: Experiment, fold: str) -> Path:
        return experiment.fold_folder(self.settings(project).roots, fold)

    @initialize()
    def plain_nnunet_trained_two_folds_and_the_project_one(self) -> None:
        for number, fold in enumerate(ADOPTED):
            write_foreign_fold(self.results["first"], number, {f"{fold}_a": (0.5, 0.5), f"{fold}_b": (0.25, 0.5)})
            self.adopt("first", DEFAULT, fold, is_tracked=True)

    @rule(project=projects, experiment=experiments, fold=foreign_folds, is_tracked=st.booleans())
    def adopt(self, project: str, experiment: Experiment, fold: str, is_tracked: bool) -> None:
        folder, settings = self.folder(project, experiment, fold), self.settings(project)
        if not folder.is_dir():
            return
        adopted = adopt_fold(folder)
        if not is_tracked:
            return
        report = back_fill(Destination.of(settings), adopted)
        assert report.is_done, report.problem
        assert not [sentence for sentence in self.said(project, experiment) if f"of {fold} " in sentence]
        if project == "first" and experiment == DEFAULT:
            self.instance.report_runless_asset_event(materialization(adopted))

    @rule(project=projects, experiment=experiments, fold=foreign_folds)
    def adopt_while_the_server_is_down(self, project: str, experiment: Experiment, fold: str) -> None:
        folder = self.folder(project, experiment, fold)
        if folder.is_dir():
            prepare(Destination.of(self.settings(project)), adopt_fold(folder))

    @rule(project=projects, experiment=experiments, fold=foreign_folds, score=scores, other=scores)
    def validate_outside(self, project: str, experiment: Experiment, fold: str, score: float, other: float) -> None:
        folder = self.folder(project, experiment, fold)
        if folder.is_dir():
            write_scores(folder, {f"{fold}_a": score, f"{fold}_b": other}, str(folder))

    @rule(project=projects, experiment=experiments, score=scores, is_tracked=st.booleans())
    def train_or_validate_here(self, project: str, experiment: Experiment, score: float, is_tracked: bool) -> None:
        folder, settings = self.folder(project, experiment, NATIVE), self.settings(project)
        before = folder.is_dir()
        write_scores(folder, {"c": score, "d": 0.5}, str(folder))
        (folder.parent / "dataset.json").write_text(json.dumps(DESCRIPTION))
        if is_tracked:
            with tracker(settings, experiment, folder) as following:
                train_here(folder, experiment, was_trained=before)
                files = [folder / ".nnunet_assets/manifest.json", folder / SUMMARY_FILE, folder.parent / "dataset.json"]
                report = following.finish("FINISHED", files, timeout_seconds=PATIENCE_SECONDS)
            assert report.is_done, report.problem
        else:
            train_here(folder, experiment, was_trained=before)

    @rule(
        source=st.tuples(projects, experiments),
        to=st.tuples(projects, experiments),
        fold=st.sampled_from(FOLDS),
        whole=st.booleans(),
    )
    def copy(self, source: tuple[str, Experiment], to: tuple[str, Experiment], fold: str, whole: bool) -> None:
        here, there = self.folder(*source, fold), self.folder(*to, fold)
        if source == to or not here.is_dir() or (fold == NATIVE and not whole):
            return
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(here, there, ignore=None if whole else shutil.ignore_patterns(".nnunet_assets"))
        for name in ("dataset.json", "plans.json"):
            if (here.parent / name).is_file():
                shutil.copy(here.parent / name, there.parent / name)

    @rule(project=projects)
    def move(self, project: str) -> None:
        self.n_moves += 1
        now = self.results[project].with_name(f"moved_{self.n_moves}")
        if self.results[project].is_dir():
            self.results[project].rename(now)
            self.results[project] = now

    @rule(project=projects, experiment=experiments, fold=st.sampled_from(FOLDS))
    def lose_what_was_sent(self, project: str, experiment: Experiment, fold: str) -> None:
        (self.folder(project, experiment, fold) / ".nnunet_assets" / "mlflow_run.json").unlink(missing_ok=True)

    @rule(data=st.data())
    def delete_a_run(self, data: st.DataObject) -> None:
        store = connect(Destination(self.uri, self.place / "artifacts"))
        runs = store.search_runs([one.experiment_id for one in store.search_experiments()], order_by=["run_id"])
        if runs:
            store.delete_run(data.draw(st.sampled_from([run.info.run_id for run in runs])))

    @rule(project=projects)
    def sync(self, project: str) -> None:
        settings = self.settings(project)
        report = sync.sync(settings, Destination.of(settings), timeout_seconds=PATIENCE_SECONDS)
        assert report.problem is None
        assert not report.n_waiting, [report.problem_of(fold) for fold in report.folds]
        for folder in report.folds:
            if read_committed(folder):
                experiment = VARIANT if "variants" in folder.parts else DEFAULT
                late = [sentence for sentence in self.said(project, experiment) if folder.name in sentence]
                assert not late, late

    def said(self, project: str, experiment: Experiment) -> list[str]:
        """What reading the experiment from MLflow says of folds of which it is behind; checks the numbers, too."""
        settings = self.settings(project)
        try:
            record = mlflow_record(settings)
            _, summary = record.summary(DATASET, group_name(experiment), lambda _group: FOLDS)
        except SummaryError:
            return []  # it has no numbers of it at all, and says so
        late = behind(settings.roots, settings.data, summary, record.place)
        if not late:
            recorded = {fold.fold: fold for fold in summary.folds}
            for fold in FOLDS:
                folder = self.folder(project, experiment, fold)
                if folder.is_dir():
                    (own,) = fold_results_in(folder.parent, [fold]) or (None,)
                    assert numbers(own, experiment) == numbers(recorded.get(fold), experiment), fold
        return late

    @invariant()
    def every_source_gives_the_same_numbers_or_says_that_it_is_behind(self) -> None:
        for project in ("first", "second"):
            for experiment in (DEFAULT, VARIANT):
                self.said(project, experiment)
        with suppress(NnunetAssetsError):
            record = DagsterRecord(self.instance, self.settings("first").roots)
            _, summary = record.summary(DATASET, group_name(DEFAULT), lambda _group: FOLDS)
            for result in summary.folds:
                (own,) = fold_results_in(self.folder("first", DEFAULT, result.fold).parent, [result.fold])
                assert own == result


def numbers(result: Any, experiment: Experiment) -> Any:
    """What a summary is made of: the scores by case, or the means where there is no more."""
    if result is None:
        return None
    if isinstance(result, ScoredFold):
        series = series_of(result.cases, experiment, result.fold)
        return {name: None if mean is None else round(mean, 12) for name, mean in series.items() if mean is not None}
    found = {f"val_{measure}_mean": means.foreground for measure, means in result.means.items()}
    for measure, means in result.means.items():
        found |= {f"val_{measure}/{name}": mean for name, mean in means.labels.items()}
    return {name: round(mean, 12) for name, mean in found.items() if mean is not None}


def write_scores(folder: Path, dices: dict[str, float], path: str) -> None:
    entries = [
        summary_entry(case, {"1": {"Dice": dice, "IoU": dice / (2 - dice)}, "2": 0.5}) for case, dice in dices.items()
    ]
    for entry in entries:
        entry["prediction_file"] = entry["prediction_file"].replace("/results/fold_0", path)
    write_validation_summary(folder, entries)


def train_here(folder: Path, experiment: Experiment, *, was_trained: bool) -> None:
    """Journal and COMMIT as the fold's process leaves them when it trained, or validated again."""
    cases = sorted(entry_case(entry) for entry in json.loads((folder / SUMMARY_FILE).read_bytes())["metric_per_case"])
    records = [record for record in read_records(journal_path(folder)) if record.kind != "end"]
    latest = records[-1].time_ms if records else 1_000
    if not was_trained or not records:
        records = [Record("start", latest, None, {"attempt": f"of {folder}", "params": {}})]
    manifest = build_manifest(folder, INPUTS)
    details = {"validation_cases": cases, "options": {}, "experiment": vars(experiment)}
    manifest = replace(manifest, details=details)
    commit_fold(folder, manifest)
    (result,) = fold_results_in(folder.parent, [folder.name])
    # The clock of the machine that validates is not that of the one before.
    end = Record("end", latest + 1, None, series_of(result.cases, experiment, folder.name))
    write_records(journal_path(folder), [*records, end])


def entry_case(entry: dict[str, Any]) -> str:
    return Path(entry["prediction_file"]).name.removesuffix(".nii.gz")


def tracker(settings: Settings, experiment: Experiment, folder: Path) -> FoldTracker:
    return FoldTracker(
        Destination.of(settings),
        experiment_name=DATASET,
        fold_folder=folder,
        tags=fold_tags(experiment, folder.name, INPUTS),
        run_name=fold_run_name(experiment, folder.name),
        poll_seconds=0.05,
    )


@pytest.fixture
def machine(new_store: bytes, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    Folds.new_store = new_store
    monkeypatch.setattr(adopted_fold_run, "learning_curve_png", lambda _records: b"")
    # On a busy machine a store takes its time, and a history that ends early for that would tell nothing.
    monkeypatch.setattr(client, "PROBE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(sync, "probe", lambda *_arguments: "")
    monkeypatch.setattr(adopted_fold_run, "send_waiting", partial(send_waiting, timeout_seconds=PATIENCE_SECONDS))

    def run(n_examples: int, n_steps: int) -> None:
        run_state_machine_as_test(
            Folds,
            settings=settings(
                max_examples=n_examples,
                stateful_step_count=n_steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

    return run


def test_a_few_histories_of_folds(machine: Callable[[int, int], None]) -> None:
    machine(2, 6)


@pytest.mark.faults
def test_many_histories_of_folds(machine: Callable[[int, int], None]) -> None:
    machine(30, 12)
