"""What variants must not say, of the plans as they are and before there are any."""

import json
import re
from pathlib import Path

import pytest

from nnunet_assets.core.dataset.plan_sizes import PlanSizes
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.declarations.named_fold import NamedFold
from nnunet_assets.declarations.project import read_project
from nnunet_assets_tests.nnunet.trainer.test_parameters import CONFIGURATION
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project

NAME = "Dataset004_Hippocampus"
NOWHERE = Roots(Path("/no/raw"), Path("/no/preprocessed"), Path("/no/results"))


def of_variant(fields: str, experiment: str = EXPERIMENT) -> str:
    return f"{experiment}  variant: {{{fields}}}\n"


def write_plans(root: Path, configuration: str) -> None:
    folder = root / "data" / "nnUNet_preprocessed" / NAME
    folder.mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps({"configurations": {configuration: CONFIGURATION}}))


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ("[64, 64, 64]", "patch_size is 64x64x64, and 2d has 2 axes. Give 2 numbers (y, x)."),
        ("[64]", "[64] are no sizes of a patch: give two (y, x) or three (z, y, x)."),
        ("[64, 0]", "0 is out of range: it must be at least 1."),
        ("64", "must be a list, with [ and ] around it, not 64. Write [64]."),
    ],
)
def test_a_wrong_patch_size_is_told_with_its_line(tmp_path: Path, patch: str, sentence: str) -> None:
    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, of_variant(f"name: a, patch_size: {patch}"))})

    assert error.startswith("defs.yaml:9: attributes.variant.patch_size")
    assert error.endswith(sentence)


def test_a_patch_size_that_the_planned_network_cannot_take_is_told_with_its_line(tmp_path: Path) -> None:
    write_plans(tmp_path, "3d_fullres")
    declared = of_variant("name: a, patch_size: [16, 18, 12]", EXPERIMENT.replace("2d", "3d_fullres"))

    assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, declared)}) == [
        "defs.yaml:9: attributes.variant.patch_size: patch_size is 16x18x12. The network of 3d_fullres makes a patch "
        "4x4x4 times smaller, and 18 is no multiple of 4. 16x16x12 would do."
    ]


def test_one_variant_name_has_one_batch_size_in_an_experiment(tmp_path: Path) -> None:
    two = (of_variant("name: a, batch_size: 4"), of_variant("name: a, batch_size: 8"))

    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, *two)})
    assert error.startswith("defs.yaml:15: attributes.variant.name: Dataset004_Hippocampus / a / nnUNetTrainer")
    assert re.search(r"is declared at \S*defs.yaml:5 with other batch_size or patch_size", error), error


def test_plans_with_too_long_a_name_are_refused(tmp_path: Path) -> None:
    long = f"{EXPERIMENT}  plans: {'P' * 60}\n"

    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, of_variant("name: a, batch_size: 2048", long))})
    assert "at most 64 characters" in error


def test_an_experiment_with_sizes_has_plans_of_its_own_and_is_named_by_those_that_it_declares(tmp_path: Path) -> None:
    sized = of_variant("name: a, batch_size: 4, patch_size: [64, 32]")
    (config,) = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, sized)})).experiments

    assert config.identity == Experiment(NAME, "2d", plans="nnUNetPlans_bs4_ps64x32", variant="a")
    assert config.sizes == PlanSizes(4, (64, 32))
    assert config.variant is not None
    assert (config.variant.overrides(), config.variant.options()) == ({}, {})
    project = read_project(tmp_path)
    for plans in (None, "nnUNetPlans", "nnUNetPlans_bs4_ps64x32"):
        assert NamedFold("4", "2d", "0", plans=plans, variant="a").chosen(project, NOWHERE) == ("fold_0", config)
    assert project.configurations_of(NAME, "nnUNetPlans") == ["2d"]


def test_a_cascade_with_sizes_wants_its_first_stage_with_the_same(tmp_path: Path) -> None:
    stages = [EXPERIMENT.replace("2d", name) for name in ("3d_lowres", "3d_cascade_fullres")]
    unlike = documents(DATASET, stages[0], of_variant("name: a, batch_size: 4", stages[1]))

    (error,) = errors_of(tmp_path / "one", {"defs.yaml": unlike})
    assert error.endswith("with the same trainer, plans and variant, batch_size and patch_size.")
    alike = documents(DATASET, *(of_variant("name: a, batch_size: 4", stage) for stage in stages))
    project = read_project(write_project(tmp_path / "two", {"defs.yaml": alike}))
    (stage,) = project.stages.values()
    assert stage.plans == "nnUNetPlans_bs4"
