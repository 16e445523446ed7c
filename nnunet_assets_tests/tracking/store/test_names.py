import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.tracking.store import names

HIPPOCAMPUS = Experiment(dataset="Dataset004_Hippocampus", configuration="2d")


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("tumor", "tumor"),
        ("left kidney", "left kidney"),
        ("Läsion-2", "Läsion-2"),
        ("v1.5", "v1.5"),
        ("tumor (core)", "tumor _x28_core_x29_"),
        ("a/b", "a_x2f_b"),
        ("T1:T2", "T1_x3a_T2"),  # MLflow on Windows takes no colon
        ("..", "_x2e_."),  # would mean another path
        ("", "_x_"),
        ("left_xiphoid", "left_x5f_xiphoid"),  # else it would read as the beginning of an escape
        ("\n", "_xa_"),
    ],
)
def test_a_label_becomes_one_component_of_a_name_and_back(text: str, component: str) -> None:
    assert names.escaped(text) == component
    assert names.unescaped(component) == text


@settings(database=None)
@given(st.text(), st.text())
def test_escaping_is_reversible_so_two_labels_never_share_a_name(left: str, right: str) -> None:
    assert names.unescaped(names.escaped(left)) == left
    assert (names.escaped(left) == names.escaped(right)) == (left == right)


@settings(deadline=None, database=None)  # the first example imports MLflow; nothing is written beside the tests
@given(st.text(max_size=20))
def test_mlflow_takes_every_escaped_name(label: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    _validate_metric_name(names.metric_name(f"val_dice/{label}"))
    _validate_param_name(names.escaped(label))


def test_a_series_keeps_its_family_and_escapes_the_whole_label() -> None:
    assert names.metric_name("train_loss") == "train_loss"
    assert names.metric_name("pseudo_dice/a/b") == "pseudo_dice/a_x2f_b"


def test_labels_that_differ_only_in_case_cannot_both_be_metrics() -> None:
    reasons = names.unusable_series(["val_dice/Tumor", "val_dice/tumor", "val_dice/edema"])
    assert list(reasons) == ["val_dice/tumor"]
    assert "'val_dice/tumor' differs from 'val_dice/Tumor' only in case" in reasons["val_dice/tumor"]


def test_a_label_too_long_for_mlflow_cannot_be_a_metric() -> None:
    assert names.unusable_series([f"val_dice/{'x' * 241}"]) == {}
    (reason,) = names.unusable_series([f"val_dice/{'x' * 242}"]).values()
    assert reason == f"'val_dice/{'x' * 50} ... (251 characters)' is longer than MLflow's 250 characters"


def test_nested_parameters_become_flat_texts() -> None:
    params = {"plans": {"patch_size": [40, 56], "unet": {}}, "initial_lr": 0.01, "deep": True, "seed": None, "a/b": "c"}
    assert names.flattened(params) == {
        "plans/patch_size": "[40, 56]",
        "plans/unet": "{}",
        "initial_lr": "0.01",
        "deep": "True",
        "seed": "None",
        "a_x2f_b": "c",
    }


def test_a_cut_text_says_how_long_it_was_and_where_the_rest_is() -> None:
    assert names.cut("short", 6000) == "short"
    shortened = names.cut("x" * 7000, 6000, "; whole in params.json")
    assert len(shortened) == 6000
    assert shortened.endswith("xx ... (7000 characters; whole in params.json)")


def test_a_fold_is_found_by_the_tags_of_its_experiment_and_its_inputs() -> None:
    inputs = FoldInputs(raw_hash="r", plans_hash="p", splits_hash="s", training_hash="t")
    assert names.fold_tags(HIPPOCAMPUS, "fold_3", inputs, dagster_run_id="run-1") == {
        "nnunet_assets.run_type": "fold",
        "nnunet_assets.experiment": "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__2d",
        "nnunet_assets.dataset": "Dataset004_Hippocampus",
        "nnunet_assets.configuration": "2d",
        "nnunet_assets.plans": "nnUNetPlans",
        "nnunet_assets.trainer": "nnUNetTrainer",
        "nnunet_assets.fold": "fold_3",
        "nnunet_assets.raw_hash": "r",
        "nnunet_assets.plans_hash": "p",
        "nnunet_assets.splits_hash": "s",
        "nnunet_assets.training_hash": "t",
        "nnunet_assets.validated": "checkpoint_final.pth",
        "dagster_run_id": "run-1",
    }


def test_a_variant_has_a_tag_and_another_experiment_tag() -> None:
    short = Experiment(dataset="Dataset004_Hippocampus", configuration="2d", variant="short")
    tags = names.experiment_tags(short, "cv_summary")
    assert tags["nnunet_assets.variant"] == "short"
    assert tags["nnunet_assets.experiment"] == "Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__2d"
    assert "nnunet_assets.variant" not in names.experiment_tags(HIPPOCAMPUS, "cv_summary")


def test_the_model_of_all_cases_is_a_final_run() -> None:
    inputs = FoldInputs(raw_hash="r", plans_hash="p", splits_hash="s", training_hash="t")
    assert names.fold_tags(HIPPOCAMPUS, "fold_all", inputs)["nnunet_assets.run_type"] == "final"


def test_parameters_give_tags_to_search_by() -> None:
    params = {
        "device": {"kind": "cuda", "name": "NVIDIA H200"},
        "architecture": {"class": "PlainConvUNet"},
        "loss": {"class": "DC_and_CE_loss"},
        "optimizer": {"class": "SGD"},
        "options": {"seed": 7, "pretrained_weights": None},
    }
    assert names.search_tags(params) == {
        "nnunet_assets.device": "cuda",
        "nnunet_assets.device_name": "NVIDIA H200",
        "nnunet_assets.architecture": "PlainConvUNet",
        "nnunet_assets.loss": "DC_and_CE_loss",
        "nnunet_assets.optimizer": "SGD",
        "nnunet_assets.seed": "7",
        "nnunet_assets.pretrained": "no",
    }


def test_parameters_that_say_nothing_give_no_tag() -> None:
    assert names.search_tags({"initial_lr": 0.01}) == {}
