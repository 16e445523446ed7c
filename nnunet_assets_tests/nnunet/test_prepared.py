import subprocess
import sys
from contextlib import contextmanager

import pytest

from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.prepared import RawRecord
from nnunet_assets_tests.prepared_builders import CASES, DATASET, write_plans, write_prepared

HOLD = """
import sys
from pathlib import Path
from nnunet_assets.core.layout import Roots
from nnunet_assets.nnunet.prepared import PreparedDataset
folder, dataset, plans, configuration, mode = sys.argv[1:]
roots = Roots(Path(folder, "raw"), Path(folder, "preprocessed"), Path(folder, "results"))
with PreparedDataset(roots, dataset).lock(plans, configuration, mode):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def prepared(tmp_path):
    return write_prepared(tmp_path)[1]


@contextmanager
def held_by_another_process(folder, mode, plans="nnUNetPlans", configuration="3d_fullres"):
    arguments = [sys.executable, "-c", HOLD, folder, DATASET, plans, configuration, mode]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        try:
            yield other
        finally:
            other.kill()


def test_what_is_known_of_the_raw_data_comes_back(prepared):
    assert prepared.read_raw() == RawRecord("the raw data", CASES, voxels_checked=True)


def test_raw_data_that_nobody_looked_at_is_an_error(prepared):
    (prepared.own / "raw.json").unlink()
    with pytest.raises(PlanningError, match=r"Nothing is known .* Materialize raw_dataset first"):
        prepared.read_raw()


def test_raw_data_that_contradicts_itself_stops_all_that_follows(prepared):
    prepared.write_raw(RawRecord("the raw data", CASES, voxels_checked=True, errors="case_1: its label is torn"))
    with pytest.raises(PlanningError, match=r"not fit to be trained on.*\ncase_1: its label is torn"):
        prepared.read_raw()


@pytest.mark.parametrize("content", ["", "{", '{"configurations": {"2d"'])
def test_a_damaged_record_is_named(prepared, content):
    prepared.plans_file("nnUNetPlans").write_text(content)
    with pytest.raises(PlanningError, match=r"nnUNetPlans\.json is not valid JSON .* Restore it, or delete it"):
        prepared.plans_hash("nnUNetPlans")


def test_the_digest_of_plans_is_that_of_their_content_not_of_the_file(prepared):
    before = prepared.plans_hash("nnUNetPlans")
    path = prepared.plans_file("nnUNetPlans")
    path.write_text(path.read_text().replace(",", " ,\n"))
    assert prepared.plans_hash("nnUNetPlans") == before
    write_plans(prepared, batch_size=3)
    assert prepared.plans_hash("nnUNetPlans") != before
    assert prepared.plans_hash("MyPlans") is None


def test_plans_that_differ_only_in_training_share_their_preprocessed_cases(prepared):
    write_plans(prepared, "nnUNetResEncUNetMPlans", batch_size=9, patch_size=[16, 16, 16])
    mine, shared = ("nnUNetPlans", "3d_fullres"), ("nnUNetResEncUNetMPlans", "3d_fullres")
    assert prepared.cases_folder(*mine) == prepared.cases_folder(*shared)
    assert prepared.cases_stamp(*shared) == prepared.cases_made_from(*shared) == prepared.cases_made_from(*mine)


def test_plans_that_preprocess_otherwise_do_not_take_shared_cases_for_theirs(prepared):
    write_plans(prepared, "MyPlans", spacing=[1.0, 1.0, 1.0])
    mine = ("MyPlans", "3d_fullres")
    assert prepared.cases_stamp(*mine) != prepared.cases_made_from(*mine)
    # Made for them, they are no longer those of the other plans.
    prepared.stamp_cases(*mine, prepared.cases_made_from(*mine))
    theirs = ("nnUNetPlans", "3d_fullres")
    assert prepared.cases_stamp(*theirs) != prepared.cases_made_from(*theirs)


def test_a_configuration_has_what_it_inherits(prepared):
    content = write_plans(prepared)
    content["configurations"]["big"] = {"inherits_from": "3d_fullres", "batch_size": 8}
    prepared.plans_file("nnUNetPlans").write_text(str(content).replace("'", '"'))
    assert prepared.configurations("nnUNetPlans")["big"]["spacing"] == [3.0, 1.0, 1.0]
    assert prepared.configurations("nnUNetPlans")["big"]["batch_size"] == 8
    assert prepared.cases_folder("nnUNetPlans", "big") == prepared.cases_folder("nnUNetPlans", "3d_fullres")
    assert prepared.cases_stamp("nnUNetPlans", "big") == prepared.cases_made_from("nnUNetPlans", "big")


def test_the_next_stage_of_a_cascade_is_needed_to_validate_the_first(prepared):
    content = write_plans(prepared)
    content["configurations"]["3d_lowres"] = {"next_stage": "3d_cascade_fullres"}
    content["configurations"]["3d_cascade_fullres"] = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    prepared.plans_file("nnUNetPlans").write_text(str(content).replace("'", '"'))
    assert prepared.needed_configurations("nnUNetPlans", ["3d_lowres"]) == ["3d_lowres", "3d_cascade_fullres"]
    assert prepared.needed_configurations("nnUNetPlans", ["2d", "gone"]) == ["2d"]
    # It reads the cases of 3d_fullres, so that both are made once.
    cascade = ("nnUNetPlans", "3d_cascade_fullres")
    assert prepared.cases_stamp(*cascade) == prepared.cases_made_from(*cascade)


def test_several_folds_read_the_same_cases(prepared, tmp_path):
    with held_by_another_process(tmp_path, "read"), prepared.lock("nnUNetPlans", "3d_fullres", "read"):
        pass


@pytest.mark.parametrize("plans", ["nnUNetPlans", "nnUNetResEncUNetMPlans"])
def test_cases_that_a_fold_reads_are_not_made_again_whatever_plans_ask_for_it(prepared, tmp_path, plans):
    write_plans(prepared, "nnUNetResEncUNetMPlans")
    with (
        held_by_another_process(tmp_path, "read"),
        pytest.raises(
            PlanningError, match="are in use by a fold that trains, or being preprocessed in another process"
        ),
        prepared.lock(plans, "3d_fullres", "write"),
    ):
        pass


def test_cases_that_are_being_made_are_not_read(prepared, tmp_path):
    with (
        held_by_another_process(tmp_path, "write"),
        pytest.raises(PlanningError, match=r"3d_fullres are being preprocessed in another process\. Try again when"),
        prepared.lock("nnUNetPlans", "3d_fullres", "read"),
    ):
        pass


def test_other_cases_are_free(prepared, tmp_path):
    with held_by_another_process(tmp_path, "write"), prepared.lock("nnUNetPlans", "2d", "write"):
        pass


def test_a_lock_is_free_when_its_owner_was_killed(prepared, tmp_path):
    with held_by_another_process(tmp_path, "write") as other:
        other.kill()
        other.wait()
        with prepared.lock("nnUNetPlans", "3d_fullres", "write"):
            pass
