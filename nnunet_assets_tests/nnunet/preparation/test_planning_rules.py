import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.dataset.configurations import PLANNERS
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.errors import ConfigError, PlanningError
from nnunet_assets.nnunet.preparation import planning
from nnunet_assets.nnunet.preparation.planning import PreparedCases, _Watch, check_configuration, prepare
from nnunet_assets.nnunet.preparation.planning_process import _add_configurations, _own_configurations, prepare_dataset
from nnunet_assets.nnunet.prepared.plans_stamps import stamp_plans
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.raw_records import note_verified, write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.splits.split_users import note_results
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.nnunet_in_process import child_in_process
from nnunet_assets_tests.overlaid_versions import next_version, overlay
from nnunet_assets_tests.prepared_builders import CASES, DATASET, plans_content, write_plans, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress

UNKNOWN = "nnUNetTrainerTypo"


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)


@pytest.fixture
def without_nnunet(tmp_path: Path) -> Any:
    """An environment in which the child ends at its first look at nnU-Net, seconds before torch is loaded."""
    (tmp_path / "nnunetv2").mkdir()
    (tmp_path / "nnunetv2" / "__init__.py").write_text("raise RuntimeError('nnU-Net is not looked at here')")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def stamp_as_planned(prepared: Any, plans: str = "nnUNetPlans", **changes: Any) -> None:
    made_from = {"raw_hash": "the raw data", "planner": PLANNERS[plans], "nnunetv2": version("nnunetv2")}
    stamp_plans(prepared, plans, {**made_from, **changes}, prepared.plans(plans).digest)


def run(
    records: Any,
    plans: str = "nnUNetPlans",
    configurations: Any = ("3d_fullres",),
    trainers: Any = (),
    environment: Any = os.environ,
    **options: Any,
) -> Any:
    return prepare(
        records[0],
        DATASET,
        plans,
        configurations=configurations,
        trainers=trainers,
        environment=dict(environment),
        **options,
    )


def request_of(records: Any, environment: Any, plans: str = "nnUNetPlans", **asked: Any) -> Any:
    """Returns what was asked of the child, which then failed before it touched anything."""
    with pytest.raises(PlanningError, match=f"Preparing {DATASET} with {plans} failed: .* nnU-Net is not looked at"):
        run(records, plans, environment=environment, **asked)
    return json.loads((records[1].own / f"prepare_{plans}" / "request.json").read_text())


def test_what_is_up_to_date_is_left_alone_and_starts_no_child(records: Any) -> None:
    stamp_as_planned(records[1])
    made = run(records, trainers=[UNKNOWN])
    assert made.made == ()
    assert made.plans_hash == records[1].plans("nnUNetPlans").digest
    assert made.planned["3d_fullres"]["spacing"] == [3.0, 1.0, 1.0]
    assert made.cases["3d_fullres"] == PreparedCases(n_made=0, n_reused=4, n_bytes=4 * 28, why="")
    assert not (records[1].own / "prepare_nnUNetPlans").exists()


def test_a_split_that_came_beside_the_raw_data_since_it_was_looked_at_is_not_copied_by_the_planner(
    records: Any,
) -> None:
    write_splits(records[0].raw / DATASET, [])
    stamp_as_planned(records[1], raw_hash="older data")
    with pytest.raises(
        PlanningError, match=r"raw/.*splits_final\.json was put there after .*Materialize raw_dataset and"
    ):
        run(records)


def test_a_wanted_configuration_that_the_plans_lack_is_reported(records: Any) -> None:
    stamp_as_planned(records[1])
    made = run(records, configurations=("3d_fullres", "3d_lowres"))
    assert made.configurations == ("3d_fullres",)
    assert list(made.dropped) == ["3d_lowres"]


def test_plans_of_nnunets_name_that_somebody_else_made_are_never_overwritten(records: Any) -> None:
    before = records[1].plans_file("nnUNetPlans").read_bytes()
    with pytest.raises(PlanningError, match=r"nnUNetPlans\.json was made or edited outside this project\. To use it"):
        run(records)
    assert records[1].plans_file("nnUNetPlans").read_bytes() == before


def test_plans_of_ones_own_that_are_of_another_dataset_are_refused_before_a_child_starts(records: Any) -> None:
    write_plans(records[1], "myPlans")
    plans = records[1].plans_file("myPlans")
    plans.write_text(json.dumps({**json.loads(plans.read_text()), "dataset_name": "Dataset004_Hippocampus"}))
    with pytest.raises(PlanningError, match=f"has dataset_name 'Dataset004_Hippocampus' in place of '{DATASET}', so"):
        run(records, "myPlans")


def test_plans_that_were_edited_after_they_were_made_are_never_overwritten(records: Any) -> None:
    stamp_as_planned(records[1])
    write_plans(records[1], batch_size=9)
    with pytest.raises(PlanningError, match="edited outside this project"):
        run(records)


def add_configuration(prepared: Any, **plan: Any) -> Any:
    """Adds one to the plans as nnU-Net's documentation has it, and returns the file's content."""
    content = json.loads(prepared.plans_file("nnUNetPlans").read_text())
    content["configurations"]["3d_fullres_bs8"] = plan
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(content))
    return content


def test_a_configuration_may_be_added_to_nnunets_own_plans_and_shares_the_cases_it_inherits(records: Any) -> None:
    stamp_as_planned(records[1])
    add_configuration(records[1], inherits_from="3d_fullres", batch_size=8)
    made = run(records, configurations=("3d_fullres_bs8",))
    assert (made.made, dict(made.dropped)) == ((), {})
    assert made.planned["3d_fullres_bs8"]["batch_size"] == 8
    assert made.cases["3d_fullres_bs8"].n_reused == 4
    content = add_configuration(records[1], inherits_from="3d_fullres", batch_size=8)
    content["configurations"]["2d"]["batch_size"] = 99
    records[1].plans_file("nnUNetPlans").write_text(json.dumps(content))
    with pytest.raises(PlanningError, match="edited outside this project"):
        run(records)


def test_planning_again_keeps_the_configurations_that_were_added_whatever_interrupts_it(records: Any) -> None:
    prepared = records[1]
    own = add_configuration(prepared, inherits_from="3d_fullres")["configurations"]["3d_fullres_bs8"]
    found = _own_configurations(prepared, "nnUNetPlans")
    assert found == {"3d_fullres_bs8": own}
    stamp_plans(prepared, "nnUNetPlans", {"own_configurations": found}, plans_hash=None)
    for left in ("", '{"plans_na', None, json.dumps(plans_content())):
        if left is None:
            prepared.plans_file("nnUNetPlans").unlink()
        else:
            prepared.plans_file("nnUNetPlans").write_text(left)
        assert _own_configurations(prepared, "nnUNetPlans") == found
    _add_configurations(prepared.plans_file("nnUNetPlans"), found)
    assert prepared.plans("nnUNetPlans").configurations["3d_fullres_bs8"]["batch_size"] == 2


@pytest.mark.parametrize(
    ("plans", "configuration", "problem"),
    [
        (
            "nnUNetPlans",
            "3d_fullres_bs8",
            r"not in .*nnUNetPlans\.json\. Did you mean 3d_fullres\? Available: 2d, 3d_full",
        ),
        (
            "nnUNetResEncUNetMPlans",
            "3d_fullres_bs8",
            r"nnU-Net plans no '3d_fullres_bs8', and .* Available: 2d, .* Plan f",
        ),
        ("MyPlans", "3d_fulres", r"not in .*MyPlans\.json\. Did you mean 3d_fullres\? Available: 2d, 3d_fullres\."),
        ("MyPlans", "3d_lowres", r"Your plans file has no 3d_lowres\."),
        ("NoPlans", "3d_lowres", r"There are no plans 'NoPlans'"),
        ("MyPlans", "round", r"in a circle: round from round"),
    ],
)
def test_a_configuration_that_no_planning_would_make_is_told_before_any_work(
    records: Any, plans: str, configuration: str, problem: str
) -> None:
    content = write_plans(records[1], "MyPlans")
    content["configurations"]["round"] = {"inherits_from": "round"}
    records[1].plans_file("MyPlans").write_text(json.dumps(content))
    with pytest.raises(PlanningError, match=problem):
        check_configuration(records[1], plans, configuration)


def test_a_configuration_that_comes_back_with_plans_that_are_being_made_is_let_through(records: Any) -> None:
    stamp_plans(records[1], "nnUNetPlans", {"own_configurations": {"mine": {"inherits_from": "2d"}}}, plans_hash=None)
    check_configuration(records[1], "nnUNetPlans", "mine")
    records[1].plans_file("nnUNetPlans").unlink()
    check_configuration(records[1], "nnUNetPlans", "mine")
    with pytest.raises(PlanningError, match="nnU-Net plans no 'others'"):
        check_configuration(records[1], "nnUNetPlans", "others")


@pytest.mark.parametrize("plans", ["nnUNetPlans", "nnUNetResEncUNetMPlans", "MyPlans"])
def test_a_configuration_that_is_there_or_may_be_planned_is_let_through(records: Any, plans: str) -> None:
    write_plans(records[1], "MyPlans")
    check_configuration(records[1], plans, "2d")
    if plans != "MyPlans":
        check_configuration(records[1], plans, "3d_lowres")


def test_plans_of_another_name_are_the_users_own(records: Any) -> None:
    write_plans(records[1], "MyPlans", batch_size=9)
    made = run(records, "MyPlans")
    assert made.made == ()  # preprocessed already, for plans that preprocess alike
    assert made.planned["3d_fullres"]["batch_size"] == 9


def test_plans_that_are_nowhere_are_an_error_that_names_those_that_can_be_made(records: Any) -> None:
    with pytest.raises(
        PlanningError, match=r"There are no plans 'MyPlans' .* or use one of nnUNetPlans, nnUNetResEncUN"
    ):
        run(records, "MyPlans")


@pytest.mark.parametrize("left", ["", '{"configurations": {"2d": ', None])
def test_planning_that_was_interrupted_is_done_again_even_where_its_file_is_torn(
    records: Any, without_nnunet: Any, left: str | None
) -> None:
    prepared = records[1]
    stamp_plans(prepared, "nnUNetPlans", {}, plans_hash=None)
    path = prepared.plans_file("nnUNetPlans")
    path.unlink() if left is None else path.write_text(left)
    assert request_of(records, without_nnunet)["planner"]


def test_who_prepares_a_dataset_waits_for_another_that_does_and_finds_what_it_made(
    records: Any, without_nnunet: Any
) -> None:
    said: Queue[str] = Queue()
    prepared = records[1]
    stamp_plans(prepared, "nnUNetPlans", {}, plans_hash=None)  # the other one plans
    with ThreadPoolExecutor(1) as pool:
        with prepared.preparing(RecordedProgress(pytest.fail)):
            waiting = pool.submit(run, records, environment=without_nnunet, progress=RecordedProgress(said.put))
            assert said.get(timeout=10) == (f"{DATASET} is being prepared by another process; waiting for it.")
            stamp_as_planned(prepared)
        assert waiting.result().made == ()
    assert said.empty()
    assert not (prepared.own / "prepare_nnUNetPlans").exists()


@pytest.mark.parametrize("changes", [{"raw_hash": "older data"}, {"nnunetv2": "2.5"}, {"planner": "Other"}])
def test_plans_made_from_other_input_are_made_again(records: Any, without_nnunet: Any, changes: dict[str, Any]) -> None:
    stamp_as_planned(records[1], **changes)
    assert request_of(records, without_nnunet)["planner"]


def begin_fold(
    records: Any, plans: str = "nnUNetPlans", raw_hash: str = "the raw data", variant: Any = None, results: Any = None
) -> None:
    roots = replace(records[0], results=results or records[0].results)
    folder = Experiment(DATASET, "3d_fullres", plans=plans, variant=variant).fold_folder(roots, "fold_0")
    inputs = {**asdict(INPUTS), "raw_hash": raw_hash}
    write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": inputs})


@pytest.mark.parametrize("plans", ["nnUNetPlans", "MyPlans"])  # planned again, or only preprocessed
def test_what_folds_were_trained_on_is_made_anew_for_another_minor_nnunet_by_the_users_word_alone(
    records: Any, without_nnunet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plans: str
) -> None:
    prepared, installed, minor = records[1], version("nnunetv2"), next_version("nnunetv2", 1)
    stamp_as_planned(prepared)
    write_plans(prepared, "MyPlans")
    begin_fold(records, plans, variant="short")
    monkeypatch.syspath_prepend(overlay(tmp_path / "last", {"nnunetv2": next_version("nnunetv2", 2)}))
    assert run(records, plans).made == ()
    monkeypatch.syspath_prepend(overlay(tmp_path / "minor", {"nnunetv2": minor}))
    with pytest.raises(PlanningError) as caught:
        run(records, plans, environment=without_nnunet)
    message = str(caught.value)
    assert f"was prepared by nnunetv2 {installed}, and {minor} is installed" in message
    assert f"not prepared anew, with {plans}, without your word" in message
    assert f"1 trained fold belongs to it (hours unknown): short / nnUNetTrainer__{plans}__3d_fullres: fold" in message
    assert f"(pip install nnunetv2=={installed})" in message
    assert "`--despite-changes`, or `despite_changes: true`" in message
    assert not (prepared.own / f"prepare_{plans}").exists()
    assert request_of(records, without_nnunet, plans, despite_changes=True)["planner"] == PLANNERS.get(plans)


@pytest.mark.parametrize("is_planned", [False, True])
def test_plans_that_share_the_cases_of_folds_ask_for_that_word_too(
    records: Any, without_nnunet: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_planned: bool
) -> None:
    stamp_as_planned(records[1])
    begin_fold(records)
    if is_planned:
        write_plans(records[1], "nnUNetResEncUNetMPlans")
        stamp_as_planned(records[1], "nnUNetResEncUNetMPlans")
    monkeypatch.syspath_prepend(overlay(tmp_path / "minor", {"nnunetv2": next_version("nnunetv2", 1)}))
    with pytest.raises(PlanningError, match="nnUNetTrainer__nnUNetPlans__3d_fullres: fold_0"):
        run(records, "nnUNetResEncUNetMPlans", environment=without_nnunet)
    assert request_of(records, without_nnunet, "nnUNetResEncUNetMPlans", configurations=("2d",))["planner"]


def test_folds_of_another_project_on_the_same_preprocessed_data_count_too(
    records: Any, without_nnunet: Any, tmp_path: Path
) -> None:
    stamp_as_planned(records[1], nnunetv2="2.0.1")
    begin_fold(records, results=tmp_path / "theirs")
    note_results(records[1], tmp_path / "theirs")
    with pytest.raises(PlanningError, match=r"by nnunetv2 2\.0\.1, .* 1 trained fold belongs to it"):
        run(records, environment=without_nnunet)


def test_folds_that_are_not_of_what_is_there_hold_up_no_other_version(records: Any, without_nnunet: Any) -> None:
    stamp_as_planned(records[1], nnunetv2="2.0.1")
    begin_fold(records, raw_hash="other raw data")
    begin_fold(records, "MyPlans")
    begin_fold(records, "nnUNetPlans__old")
    adopted = Experiment(DATASET, "3d_fullres").fold_folder(records[0], "fold_1")
    adopted.mkdir(parents=True)
    (adopted / "checkpoint_final.pth").touch()
    assert request_of(records, without_nnunet)["planner"]


def test_cases_made_from_other_raw_data_are_made_again_and_plans_of_the_user_are_kept(
    records: Any, without_nnunet: Any
) -> None:
    write_plans(records[1], "MyPlans")
    write_raw(records[1], RawRecord("newer data", CASES, voxels_checked=False))
    request = request_of(records, without_nnunet, "MyPlans")
    assert not request["planner"]


def test_references_that_are_not_the_labels_of_the_cases_are_put_right(records: Any, without_nnunet: Any) -> None:
    stamp_as_planned(records[1])
    (records[1].references / "c.nii.gz").write_text("edited")
    assert not request_of(records, without_nnunet)["planner"]


class TestNnunetsOwnIntegrityCheck:
    @pytest.fixture(autouse=True)
    def _stale(self, records: Any) -> None:
        """Plans that are to be made again."""
        stamp_as_planned(records[1], planner="Other")

    def asked(self, records: Any, environment: Any, **asked: Any) -> Any:
        return request_of(records, environment, **asked)["verify_integrity"]

    def test_runs_until_it_has_agreed_with_the_raw_data_as_it_is(self, records: Any, without_nnunet: Any) -> None:
        request = request_of(records, without_nnunet)
        assert request["verify_integrity"]
        note_verified(records[1], request["verified"])
        assert not self.asked(records, without_nnunet)
        note_verified(records[1], {**request["verified"], "nnunetv2": "2.5"})
        assert self.asked(records, without_nnunet)

    def test_does_not_run_where_the_user_turned_it_off(self, records: Any, without_nnunet: Any) -> None:
        assert not self.asked(records, without_nnunet, verify_integrity=False)

    def test_runs_all_the_same_where_nobody_else_read_the_voxels(self, records: Any, without_nnunet: Any) -> None:
        write_raw(records[1], RawRecord("the raw data", CASES, voxels_checked=False))
        assert self.asked(records, without_nnunet, verify_integrity=False)


def test_an_unknown_trainer_is_an_error_before_any_long_work(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "run_child", child_in_process(prepare_dataset))
    shutil.rmtree(PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres").folder)
    stamp_as_planned(records[1])
    with pytest.raises(PlanningError, match=f"nnU-Net has no trainer '{UNKNOWN}'. Trainers are classes below"):
        run(records, trainers=["nnUNetTrainer", UNKNOWN])


@pytest.mark.parametrize("value", ["0", "many"])
def test_a_number_of_processes_that_is_none_is_an_error(records: Any, without_nnunet: Any, value: str) -> None:
    stamp_plans(records[1], "nnUNetPlans", {}, plans_hash=None)
    with pytest.raises(ConfigError, match=f"nnUNet_def_n_proc is '{value}', not a whole number of at least 1"):
        run(records, environment={**without_nnunet, "nnUNet_def_n_proc": value})


def test_raw_data_that_nobody_looked_at_is_an_error(records: Any) -> None:
    (records[1].own / "raw.json").unlink()
    with pytest.raises(PlanningError, match="Materialize raw_dataset first"):
        run(records)


def test_what_an_earlier_run_left_half_made_takes_no_turns_with_what_is_made_now(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, made = (
        SimpleNamespace(n_parts=n, why="they are not there", ingredients=lambda: SimpleNamespace(raw=range(9)))
        for n in (4, 0)
    )
    progress = RecordedProgress()
    watch = _Watch(records[1], RawRecord("", (), voxels_checked=True), "nnUNetPlans", ["2d", "3d_fullres"], progress)
    monkeypatch.setattr(watch, "_needed", lambda: [("2d", made), ("3d_fullres", left)])
    for made.n_parts in (0, 1, 1, 2):
        watch.look()
    of_2d, of_3d = (f"cases are preprocessed for {name}" for name in ("2d", "3d_fullres"))
    assert progress.steps == [(of_3d, 4, 9), (of_2d, 1, 9), (of_2d, 2, 9)]
    assert len(progress.said) == 2
