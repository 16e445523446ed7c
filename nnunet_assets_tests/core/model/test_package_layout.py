"""Paths within a package."""

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.package_layout import checkpoint_paths, expected_files, member_path, within
from nnunet_assets_tests.core.model.descriptions import ENSEMBLE, SINGLE

PLAIN = Experiment("Dataset001_Tiny", "2d")
VARIANT = Experiment("Dataset001_Tiny", "2d", variant="short")


def test_a_single_model_is_the_package_itself_and_of_several_each_has_its_name() -> None:
    assert member_path(VARIANT, is_single=True) == "."
    assert member_path(PLAIN, is_single=False) == "members/nnUNetTrainer__nnUNetPlans__2d"
    assert member_path(VARIANT, is_single=False) == "members/short/nnUNetTrainer__nnUNetPlans__2d"


def test_files_lie_as_nnunet_looks_for_them() -> None:
    assert within(".", "plans.json") == "plans.json"
    assert checkpoint_paths(SINGLE.members[0]) == ("fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth")
    assert sorted(expected_files(SINGLE)) == [
        "dataset.json",
        "fold_0/checkpoint_final.pth",
        "fold_1/checkpoint_final.pth",
        "plans.json",
        "postprocessing.json",
    ]
    own = [path for path in expected_files(ENSEMBLE) if path.startswith("members/")]
    assert len(own) == 3 * 4
    assert set(expected_files(ENSEMBLE)) - set(own) == {"postprocessing.json"}
