"""No traceback for what a user types, has in the environment, or has on a disk that damaged it.

Every command that there is, each with its own arguments and options, right and wrong, on a project in which every file
was written by us or by nnU-Net and any of them may be damaged. Nothing is trained and no server is started: a command
ends where it would start one. A NUL is in no argument and in no variable, since no system passes one on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnunet_assets.processes import variables
from nnunet_assets.project_folder import opened_instance
from nnunet_assets.tracking.store import sqlite_store
from nnunet_assets_tests import copied_instances, tracked_projects
from nnunet_assets_tests.any_input.command_lines import (
    FOLDERS,
    ODD_PATHS,
    ODD_WORDS,
    RESULTS,
    any_lines,
    commands,
    right_lines,
)
from nnunet_assets_tests.any_input.damages import Damage, damages, edited, no_file, with_text
from nnunet_assets_tests.any_input.finished_project import ADOPTED, DATASET, SHORT
from nnunet_assets_tests.any_input.place import Place
from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.filterwarnings("ignore::ResourceWarning")]

JOURNAL = ".nnunet_assets/journal.jsonl"
NAMES = sorted(commands())
VARIABLES = sorted(
    {
        *variables._RULES,
        variables.PROJECT_VARIABLE,
        variables.TRUSTED_CODE_VARIABLE,
        *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DAGSTER_HOME", "CUDA_VISIBLE_DEVICES", "COLUMNS", "TMPDIR"),
    }
)

QUIET = list(HealthCheck)
FEW = settings(derandomize=True, max_examples=6, suppress_health_check=QUIET)
MANY = settings(max_examples=3000, suppress_health_check=QUIET, print_blob=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("any_input")
    # Dagster and MLflow make what is theirs: what is copied for other tests lies elsewhere.
    with environment_without(VARIABLES), pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_instance, "_opened", copied_instances.open_home)
        patch.setattr(sqlite_store, "_make", tracked_projects.make_store)
        os.environ["COLUMNS"] = "300"
        yield Place(folder)


@st.composite
def typed(draw: st.DrawFn) -> tuple[list[str], str, str]:
    """Draws a command line, the folder that somebody stands in, and what the terminal can show."""
    name = draw(st.sampled_from(NAMES))
    return [name, *draw(any_lines(name))], draw(st.sampled_from(FOLDERS)), draw(st.sampled_from(["utf-8", "ascii"]))


@st.composite
def environments(draw: st.DrawFn) -> tuple[list[str], dict[str, str]]:
    """Draws a command line as it should be, and an environment as it should not be."""
    name = draw(st.sampled_from(NAMES))
    values = st.sampled_from([value.replace("{outside}", "/nowhere") for value in (*ODD_WORDS, *ODD_PATHS)])
    return [name, *draw(st.sampled_from(right_lines(name)))], draw(
        st.dictionaries(st.sampled_from(VARIABLES), values, min_size=1, max_size=3)
    )


def check_typed(place: Place, line: list[str], folder: str, charset: str) -> None:
    done = place.run(line, folder=folder, charset=charset)
    assert done.fault is None, (line, done.fault)


def check_environment(place: Place, line: list[str], environment: dict[str, str]) -> None:
    done = place.run(line, environment=environment)
    assert done.fault is None, (line, environment, done.fault)


def check_damaged(place: Place, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    line = [name, *data.draw(st.sampled_from(right_lines(name)))]
    _, files = place.files_read_by(line)
    file = data.draw(st.sampled_from(files or place.files))
    what, damage = data.draw(damages())
    problem = place.problem_with_damaged(line, file, damage)
    assert problem is None, (line, str(file), what, problem)


MODEL_OF_SHORT = f"data/nnUNet_results/variants/short/{DATASET}/nnUNetTrainer__tinyPlans__3d_fullres"
LOG_OF_CUT = f"{MODEL_OF_SHORT.replace('/short/', '/cut/')}/fold_0/.nnunet_assets/output.log"
MODEL_OF_ADOPTED = f"data/nnUNet_results/{ADOPTED}"
HERE = ["--project", "{project}"]
A_PIPE = no_file("a named pipe")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["dev", "--port", "99999", "{project}"], "'--port': 99999 is not in the range 1<=x<=65535"),
        (["sync", *HERE, "--timeout", "nan"], "'--timeout': 'nan' is not a finite number"),
        (["import-dataset", *HERE, "{outside}/empty", "--label", f"a={'9' * 5000}"], "--label is 'a=999"),
        (["list", "--project", "{outside}/circle"], "circle"),
        (["train", *HERE, "{outside}/circle", "2d", "0"], "circle"),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_what_was_typed_once_is_told(place: Place, line: list[str], sentence: str) -> None:
    done = place.run(line)
    assert (done.fault, done.code) == (None, 1), done.fault
    assert sentence in done.output


@pytest.mark.parametrize("line", [["list"], ["check-config"], ["init", "x"]], ids=" ".join)
def test_a_current_folder_that_was_deleted_is_told(place: Place, line: list[str]) -> None:
    done = place.run(line, folder="{outside}/gone")
    assert (done.fault, done.output) == (
        None,
        "The current folder is not there any more. Change to one that is (`cd`).\n",
    )


@pytest.mark.parametrize(
    ("line", "file", "damage"),
    [
        pytest.param(
            *(["adopt", *HERE, RESULTS], f"{MODEL_OF_ADOPTED}/fold_0/{JOURNAL}", with_text(b"x")),
            marks=pytest.mark.faults,  # it draws a figure
        ),
        (["accept", *HERE, SHORT], f"{MODEL_OF_SHORT}/nnunet_assets/cv_summary.json", edited("patients", ["a"])),
        (["accept", *HERE, SHORT], f"{MODEL_OF_SHORT}/nnunet_assets/cv_summary.json", edited("schema", [None])),
        (["list", *HERE, "--source", "dagster"], ".dagster/dagster.yaml", with_text(b"a: [")),
        (["list", *HERE], "experiments/example/defs.yaml", A_PIPE),
        (["check", *HERE, DATASET], f"data/nnUNet_raw/{DATASET}/dataset.json", A_PIPE),
        (["demo", "{project}"], "dg.toml", with_text(b"}")),
        (["demo", "{project}"], "dg.toml", with_text(b"")),
        (["demo", "{project}"], "dg.toml", no_file("nothing")),
        (["list", *HERE, "--source", "dagster"], ".dagster/dagster.yaml", A_PIPE),
        pytest.param(
            *(["sync", *HERE], "data/mlflow.db", with_text(b"")), marks=pytest.mark.faults
        ),  # it makes a store
    ],
    ids=lambda one: one[0] if isinstance(one, list) else Path(one).name if isinstance(one, str) else "",
)
def test_what_was_damaged_once_is_told(place: Place, line: list[str], file: str, damage: Damage) -> None:
    problem = place.problem_with_damaged(line, Path(file), damage)
    assert problem is None, problem


@FEW
@given(typed())
def test_a_command_line_never_ends_in_a_traceback(place: Place, said: tuple[list[str], str, str]) -> None:
    check_typed(place, *said)


@FEW
@given(environments())
def test_an_environment_never_ends_in_a_traceback(place: Place, said: tuple[list[str], dict[str, str]]) -> None:
    check_environment(place, *said)


@FEW
@given(st.data())
def test_a_damaged_file_is_named_and_not_written_over(place: Place, data: st.DataObject) -> None:
    check_damaged(place, data)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@MANY
@given(typed())
def test_thousands_of_command_lines(place: Place, said: tuple[list[str], str, str]) -> None:
    check_typed(place, *said)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@MANY
@given(environments())
def test_thousands_of_environments(place: Place, said: tuple[list[str], dict[str, str]]) -> None:
    check_environment(place, *said)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@MANY
@given(st.data())
def test_thousands_of_damaged_files(place: Place, data: st.DataObject) -> None:
    check_damaged(place, data)
