"""Command lines of every command that there is, as its own declaration says, right and wrong."""

from collections.abc import Sequence

import click
from hypothesis import strategies as st

from nnunet_assets.cli.main import main
from nnunet_assets_tests.any_input.finished_project import ADOPTED, DATASET, SHORT, STACK

PROJECT = "{project}"
RESULTS = "{project}/data/nnUNet_results"
MODEL = f"{RESULTS}/variants/short/{DATASET}/nnUNetTrainer__tinyPlans__3d_fullres"
REFERENCES = f"{PROJECT}/data/nnUNet_preprocessed/{DATASET}/gt_segmentations"
# By the parameter's name; a parameter that is not here gets any of them.
FITTING: dict[str, list[str]] = {
    "dataset": [DATASET, STACK, "900"],
    "configuration": ["3d_fullres", "2d"],
    "fold": ["0", "1", "all", "fold_0"],
    "experiment": [SHORT, ADOPTED],
    "target": [SHORT, ADOPTED, MODEL, f"{MODEL}/fold_0/validation"],
    "name": [DATASET, STACK],
    "cv_group": [SHORT, ADOPTED],
    "folder": [PROJECT, PROJECT, RESULTS, MODEL],
    "source": ["{project}/data/nnUNet_raw/Dataset900_Phantom", "{project}/data/nnUNet_raw/Dataset901_Stack"],
    "folds": ["0,1", "2", f"{MODEL}/fold_0"],
    "trainer": ["nnUNetTrainer", "nnUNetTrainer_1epoch"],
    "plans": ["tinyPlans", "nnUNetPlans"],
    "variant": ["short", "cut", "new"],
    "project": [PROJECT],
    "results": [RESULTS, MODEL],
    "predictions": [f"{MODEL}/fold_0/validation"],
    "references": [REFERENCES],
    "dataset_json": [f"{MODEL}/dataset.json"],
    "output": ["{outside}/output"],
    "tracking_uri": ["sqlite:///{project}/data/mlflow.db", "./mlruns", "http://127.0.0.1:9"],
    "tolerances": ["organ=1.5", "lesion=0"],
    "lesions": ["lesion"],
    "channels": ["CT"],
    "label_options": ["background=0", "organ=1"],
    "images": ["imagesTr/{{case}}_{{channel}}.nii.gz"],
    "labels": ["labelsTr/{{case}}.nii.gz"],
    "port": ["0", "3999"],
    "mlflow_port": ["0", "4999"],
    "timeout": ["1"],
    "from_run": ["0123456789abcdef0123456789abcdef"],
}
ANY_FITTING = sorted({word for words in FITTING.values() for word in words})
WHOLE = {
    "train": [
        [DATASET, "3d_fullres", "0", "-p", "tinyPlans", "--variant", "short"],
        [DATASET, "3d_fullres", "1", "-p", "tinyPlans", "--variant", "short"],
        [DATASET, "3d_fullres", "0", "-p", "tinyPlans", "--variant", "cut"],
        [DATASET, "3d_fullres", "1", "-p", "tinyPlans", "--variant", "cut"],
        [DATASET, "3d_fullres", "1", "-p", "tinyPlans", "-tr", "nnUNetTrainer_1epoch"],
        [STACK, "3d_fullres", "1", "-p", "tinyPlans", "--variant", "short"],
    ],
    "sync": [["--timeout", "1"]],
    "evaluate": [[SHORT], [ADOPTED], ["--predictions", f"{MODEL}/fold_0/validation", "--references", REFERENCES]],
}
"""Command lines that only make sense as a whole."""
ODD_WORDS = [
    "",
    " ",
    ".",
    "..",
    "-",
    "--",
    "~",
    "*",
    "?",
    "%20",
    "a%20b?c#d",
    "../../x",
    "/",
    "a/b",
    "\\",
    "'",
    '"',
    "$HOME",
    "ü患",
    "\u202e",
    "\udcff",
    "a\nb",
    "\t",
    "\x1b[31m",
    "\x7f",
    "x" * 300,
    "x" * 5000,
    "=",
    "a=",
    "=1",
    "a=nan",
    "a=1e999",
    "a=-1",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e400",
    "99999",
    "65536",
    "9" * 5000,
    "１",
    "1.5",
    "0,0",
    "0,,1",
    "{{case}}",
    "{{case",
    "[",
    "(" * 200,
    "sqlite:///",
    "sqlite:////dev/null/x",
    "sqlite:////proc/x.db",
    "http://",
    "http://[",
    "http://127.0.0.1:99999",
    "ftp://x",
    "file:",
    "postgresql://x",
    "databricks",
    "Dataset900_Phantom/",
    "Dataset900_Phantom//x",
    "Dataset9999_X",
    "Dataset900_",
    "None",
    "null",
    "true",
]
ODD_PATHS = [
    "{outside}/missing",
    "{outside}/a file",
    "{outside}/a file/below",
    "{outside}/empty",
    "{outside}/with ? and %20",
    "{outside}/circle",
    "{outside}/nowhere",
    "{outside}/pipe",
    "{outside}/socket",
    "{outside}/closed",
    "{outside}/\udcff",
    "{outside}/a\nb",
    "{outside}/" + "x" * 256,
    "{outside}/" + "x/" * 2200,
    "/dev/null",
    "/dev/zero",
    "/proc/self/mem",
    "/proc",
    "relative/missing",
    "{project}/.env",
    "{project}/experiments",
    "{project}/data",
]
FOLDERS = ["{outside}", "{project}", "{project}/data/nnUNet_raw", "{outside}/gone", "{outside}/empty"]


def commands() -> dict[str, click.Command]:
    """Returns every command by its name."""
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def _fitting(parameter: click.Parameter) -> list[str]:
    if isinstance(parameter.type, click.Choice):
        return [str(choice) for choice in parameter.type.choices]
    known = FITTING.get(parameter.name or "")
    if known is None and isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return ["1", "2"]
    return known or ANY_FITTING


def _odd(parameter: click.Parameter) -> st.SearchStrategy[str]:
    words = st.sampled_from(ODD_WORDS)
    return (
        st.one_of(words, st.sampled_from(ODD_PATHS))
        if isinstance(parameter.type, click.Path)
        else st.one_of(
            words, words, st.sampled_from(ODD_PATHS), st.text(st.characters(exclude_characters="\0"), max_size=20)
        )
    )


def right_lines(name: str) -> list[list[str]]:
    """Returns command lines as somebody would type them: with each option once, and each of its fitting values."""
    parameters = commands()[name].params
    arguments = [one for one in parameters if isinstance(one, click.Argument)]
    options = [one for one in parameters if isinstance(one, click.Option)]
    needed = [word for one in options if one.required for word in (one.opts[0], _fitting(one)[0])]
    project = ["--project", PROJECT] if any(one.name == "project" for one in options) else []
    begun = WHOLE.get(name) or [[word] for word in _fitting(arguments[0])] if arguments else [[]]
    lines = [[*project, *needed, *line] for line in begun]
    for option in options:
        if option.name != "project" and not option.required:
            values = [[]] if option.is_flag else [[value] for value in _fitting(option)[:3]]
            lines += [[*project, *needed, option.opts[0], *value, *begun[0]] for value in values]
    return lines


@st.composite
def any_lines(draw: st.DrawFn, name: str) -> list[str]:
    """Draws the arguments of a command, about one of three values of which is an odd one."""

    def value(parameter: click.Parameter) -> str:
        return draw(st.sampled_from(_fitting(parameter)) if draw(st.integers(0, 9)) < 6 else _odd(parameter))

    line: list[str] = []
    for parameter in commands()[name].params:
        if isinstance(parameter, click.Argument):
            n = draw(st.integers(0, 2)) if parameter.nargs < 0 else int(draw(st.integers(0, 9)) > 0)
            line += [value(parameter) for _ in range(n)]
            continue
        assert isinstance(parameter, click.Option)
        is_usual = parameter.required or parameter.name == "project"
        if draw(st.integers(0, 99)) < (95 if is_usual else 12):
            option = [draw(st.sampled_from(parameter.opts))]
            line = [*option, *line] if parameter.is_flag else [*option, value(parameter), *line]
    return line


def filled(arguments: Sequence[str], **folders: object) -> list[str]:
    """Puts the folders into arguments."""
    found = []
    for argument in arguments:
        text = argument
        for name, folder in folders.items():
            text = text.replace(f"{{{name}}}", str(folder))
        found.append(text.replace("{{", "{").replace("}}", "}"))
    return found
