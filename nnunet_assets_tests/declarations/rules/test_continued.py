from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.project import read_project
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project

SHORT = f"{EXPERIMENT}  variant: {{name: short, num_epochs: 5}}\n"
LONGER = f"{EXPERIMENT}  variant: {{name: longer, num_epochs: 9, continues: short}}\n"
LINE = "defs.yaml:15: attributes.variant.continues: "


def declared(*experiments: str) -> dict[str, str]:
    return {"defs.yaml": documents(DATASET, *experiments)}


@pytest.mark.parametrize(
    ("parent", "child", "sentence"),
    [
        (SHORT, LONGER.replace("continues: short", "continues: shrot"), "is not declared.*Did you mean short"),
        (EXPERIMENT + "  folds: [0]\n", LONGER, r"is not declared.*trainer: default\. \(default is the one without"),
        (SHORT.replace("num_epochs: 5", "num_epochs: 9"), LONGER, "9 counts the 9 epochs of .*none would be left"),
        (SHORT + "  folds: [0, 3]\n", LONGER, "does not train fold 1"),
        (SHORT + "  disable_checkpointing: true\n", LONGER, "leaves nothing to go on with"),
        (SHORT, LONGER + "  full_model: true\n", "has no `full_model`"),
        (SHORT + "  trainer: nnUNetTrainerAdam\n", LONGER, "short is declared at .*defs.yaml:5 as nnUNetTrainerAdam__"),
        (
            SHORT.replace("num_epochs: 5", "batch_size: 5"),
            LONGER,
            "declared at .* as nnUNetTrainer__nnUNetPlans_bs5__2d",
        ),
        (
            SHORT.replace("num_epochs: 5", "seed: 5, continues: longer"),
            LONGER,
            "in a circle: longer from short from lo",
        ),
        (SHORT, LONGER.replace("short", "longer"), "variant 'longer' continues itself"),
        (SHORT, LONGER.replace("short", "short, pretrained_weights: w.pth"), "leave `pretrained_weights` out"),
    ],
)
def test_what_cannot_be_continued_is_told_with_its_line(tmp_path: Path, parent: str, child: str, sentence: str) -> None:
    import re

    errors = errors_of(tmp_path, declared(parent, child))

    assert any(re.search(f"defs.yaml:1[0-9]: .*{sentence}", error) for error in errors), errors


def test_a_chain_of_continuations_is_legal_and_names_its_parents(tmp_path: Path) -> None:
    last = LONGER.replace("longer", "longest").replace("short", "longer").replace("9", "20")
    first = SHORT.replace("num_epochs: 5", "num_epochs: 5, continues: default")
    project = read_project(write_project(tmp_path, declared(EXPERIMENT, first, LONGER, last)))

    parents = [config.continued for config in project.experiments]
    assert parents == [None, *(config.identity for config in project.experiments[:3])]
    assert parents[1] == Experiment("Dataset004_Hippocampus", "2d")


def test_what_is_continued_is_part_of_how_a_fold_is_trained(tmp_path: Path) -> None:
    one = read_project(write_project(tmp_path / "one", declared(SHORT, LONGER))).experiments[1]
    other = read_project(
        write_project(tmp_path / "other", declared(EXPERIMENT, LONGER.replace("short", "default")))
    ).experiments[1]

    assert one.identity == other.identity
    assert one.training_hash() != other.training_hash()
