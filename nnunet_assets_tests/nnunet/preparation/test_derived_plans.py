import json
import math
from pathlib import Path

import pytest

from nnunet_assets.core.dataset.plan_sizes import PlanSizes
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.preparation.derived_plans import derive_again, derived_plans, write_derived
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets_tests.prepared_builders import write_plans, write_prepared

SIZES = PlanSizes(batch_size=7)
NAME = "nnUNetPlans_bs7"


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedFolder:
    return write_prepared(tmp_path)[1]


def derive(prepared: PreparedFolder, sizes: PlanSizes = SIZES) -> Plans:
    derived = derived_plans(prepared.plans("nnUNetPlans"), sizes, "3d_fullres")
    write_derived(prepared, derived)
    return derived


def test_derived_plans_read_as_they_were_written_and_find_the_cases_of_the_others(prepared: PreparedFolder) -> None:
    derive(prepared)

    there, source = (PreparedDataset.read(prepared, name) for name in (NAME, "nnUNetPlans"))
    there.plans.refuse_foreign()
    assert there.plans.configurations["3d_fullres"]["batch_size"] == 7
    assert there.case_set("3d_fullres").folder == source.case_set("3d_fullres").folder
    assert there.case_set("3d_fullres").is_whole


def test_they_are_written_once(prepared: PreparedFolder) -> None:
    file = derive(prepared).file
    before = file.stat()
    derive(prepared)

    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_they_follow_the_plans_that_they_are_derived_from(prepared: PreparedFolder) -> None:
    derive(prepared)
    write_plans(prepared, spacing=[9.0, 9.0, math.nan])
    derive_again(prepared, "nnUNetPlans")

    assert prepared.plans(NAME).configurations["3d_fullres"]["spacing"][:2] == [9.0, 9.0]
    derive(prepared)  # finds nothing edited


def test_a_kill_between_their_two_files_is_mended(prepared: PreparedFolder) -> None:
    old = derive(prepared).file.read_bytes()
    write_plans(prepared, spacing=[9.0, 9.0, 9.0])
    file = derive(prepared).file
    file.write_bytes(old)  # as if the stamp had been written, and not the file
    derive(prepared)
    file.unlink()
    derive(prepared)

    assert prepared.plans(NAME).configurations["3d_fullres"]["spacing"] == [9.0, 9.0, 9.0]


def test_what_somebody_edited_stays_and_is_told(prepared: PreparedFolder) -> None:
    file = derive(prepared).file
    edited = {**json.loads(file.read_text()), "mine": True}
    file.write_text(json.dumps(edited))

    with pytest.raises(PlanningError, match=rf"{NAME}.json was made or edited outside.* derived from nnUNetPlans"):
        derive(prepared)
    write_plans(prepared, spacing=[9.0, 9.0, 9.0])
    derive_again(prepared, "nnUNetPlans")
    assert json.loads(file.read_text()) == edited


def test_without_sizes_or_plans_nothing_is_derived(tmp_path: Path, prepared: PreparedFolder) -> None:
    source = prepared.plans("nnUNetPlans")
    absent = PreparedFolder(Roots(tmp_path, tmp_path, tmp_path), "Dataset001_None").plans("nnUNetPlans")

    assert derived_plans(source, PlanSizes(), "3d_fullres") is source
    assert derived_plans(absent, SIZES, "3d_fullres") is absent
    with pytest.raises(PlanningError, match=r"patch_size is 8x8, and 3d_fullres has 3 axes.*nnUNetPlans.json"):
        derived_plans(source, PlanSizes(patch_size=(8, 8)), "3d_fullres")
