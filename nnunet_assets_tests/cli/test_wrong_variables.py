"""Whatever command is given: a variable that nnU-Net cannot use ends it by name before anything is done."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import COMMANDS, main
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

ARGUMENTS = {
    "demo": ["{root}/new"],
    "init": ["{root}/new"],
    "import-dataset": ["{root}/experiments", "--name", "Dataset004_A"],
    "check": ["Dataset004_A"],
    "train": ["4", "2d", "0"],
    "compare": ["Dataset004_A"],
    "evaluate": ["Dataset004_A/nnUNetTrainer__nnUNetPlans__2d"],
    "summarize": ["-e", "Dataset004_A/nnUNetTrainer__nnUNetPlans__2d"],
    "export": ["-e", "Dataset004_A/nnUNetTrainer__nnUNetPlans__2d", "--format", "csv"],
    "accept": ["Dataset004_A/nnUNetTrainer__nnUNetPlans__2d"],
    "adopt": ["{root}/experiments"],
    "dev": ["{root}"],
    "up": ["{root}"],
}
TAKE_A_FOLDER = {"demo", "init", "dev", "up"}
WITHOUT_WORK = {"check-config", "doctor", "down"}
"""The first two look at what is there, and what runs can be stopped whatever is wrong."""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_WORK])
def test_a_variable_that_nnunet_cannot_use_ends_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path / "project", {"defs.yaml": documents(DATASET, EXPERIMENT)})
    monkeypatch.setenv("nnUNet_n_proc_DA", "abc")
    before = sorted(tmp_path.rglob("*"))
    arguments = [argument.format(root=root) for argument in ARGUMENTS.get(name, [])]
    options = [] if name in TAKE_A_FOLDER else ["--project", str(root)]

    result = CliRunner().invoke(main, [name, *arguments, *options])

    assert result.exit_code == 1, result.output
    assert result.stderr == (
        "nnUNet_n_proc_DA is 'abc', not a whole number of at least 0. It comes from the shell. "
        "Correct or unset it: then it fits the machine.\n"
    )
    assert sorted(tmp_path.rglob("*")) == before
