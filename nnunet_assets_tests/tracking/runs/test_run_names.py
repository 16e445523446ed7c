"""The name of a run begins with what tells it from the others, and shows every number of a long variant."""

from dataclasses import replace

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.runs.run_names import cross_validation_run_name, fold_run_name

EXPERIMENT = Experiment("Dataset004_Hippocampus", "3d_fullres")


def test_what_most_have_is_left_out() -> None:
    assert fold_run_name(EXPERIMENT, "fold_3") == "fold_3 3d_fullres"
    other = replace(EXPERIMENT, plans="nnUNetResEncUNetMPlans", trainer="nnUNetTrainerDA5", variant="short")
    assert fold_run_name(other, "fold_all") == "fold_all short ResEncUNetMPlans TrainerDA5 3d_fullres"
    assert cross_validation_run_name(replace(other, plans="mine")) == "short mine TrainerDA5 3d_fullres cv"


def test_long_variants_that_differ_at_their_end_or_in_their_middle_are_told_apart() -> None:
    variants = [f"learning_rate_{one}_weight_decay_{other}" for one, other in (("0_001", "1e_4"), ("0_001", "1e_5"))]
    named = [replace(EXPERIMENT, variant=name) for name in (*variants, "learning_rate_0_002_weight_decay_1e_4")]
    assert [cross_validation_run_name(one) for one in named] == [
        "le_ra_0_001_w_d_1e_4~3f0 3d_fullres cv",
        "le_ra_0_001_w_d_1e_5~af3 3d_fullres cv",
        "le_ra_0_002_w_d_1e_4~3d8 3d_fullres cv",
    ]
    whole = replace(EXPERIMENT, variant="x" * 24)
    assert cross_validation_run_name(whole) == f"{'x' * 24} 3d_fullres cv"


def test_a_run_of_an_ensemble_is_called_by_its_name() -> None:
    ensemble = Experiment.ensemble("Dataset004_Hippocampus", "both")
    assert cross_validation_run_name(ensemble) == "ensemble both cv"
