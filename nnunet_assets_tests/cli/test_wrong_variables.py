"""Whatever command is given: a variable that nnU-Net cannot use ends it by name before anything is done."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import COMMANDS, main
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

ARGUMENTS = {
    "import-dataset": ["{root}/experiments", "--name", "Dataset004_A"],
    "train": ["4", "2d", "0"],
    "evaluate": ["Dataset004_A/nnUNetTrainer__nnUNetPlans__2d"],
    "predict": ["Dataset004_A/nnUNetTrainer__nnUNetPlans__2d", "{root}/experiments", "-o", "{root}/masks"],
    "package": ["Dataset004_A/nnUNetTrainer__nnUNetPlans__2d", "-o", "{root}/package"],
    "promote": ["Dataset004_A", "1"],
    "search": ["run", "lr", "--project", "{root}"],
    "summarize": ["-e", "Dataset004_A"],
    "export": ["-e", "Dataset004_A", "--format", "csv"],
    "adopt": ["{root}/experiments"],
    "demo": ["{root}/new"],
    "init": ["{root}/new"],
    "dev": ["{root}"],
    "up": ["{root}"],
}
WITHOUT_WORK = {"check-config", "doctor", "down", "completion"}
"""They look at what is there, and what runs can be stopped whatever is wrong."""


def command_line(name: str, root: Path) -> list[str]:
    """A command as it would run in the project; of one that is not named above, every argument is a dataset."""
    command = main.get_command(click.Context(main), name)
    assert command
    of_dataset = ["Dataset004_A" for argument in command.params if isinstance(argument, click.Argument)]
    arguments = [argument.format(root=root) for argument in ARGUMENTS.get(name, of_dataset)]
    takes_project = any(option.name == "project" for option in command.params)
    return [name, *arguments, *(["--project", str(root)] if takes_project else [])]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT_WORK])
def test_a_variable_that_nnunet_cannot_use_ends_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path / "project", {"defs.yaml": documents(DATASET, EXPERIMENT)})
    monkeypatch.setenv("nnUNet_n_proc_DA", "abc")
    before = sorted(tmp_path.rglob("*"))

    result = CliRunner().invoke(main, command_line(name, root))

    assert result.exit_code == 1, result.output
    assert result.stderr == (
        "nnUNet_n_proc_DA is 'abc', not a whole number of at least 0. It comes from the shell. "
        "Correct or unset it: then it fits the machine.\n"
    )
    assert sorted(tmp_path.rglob("*")) == before
