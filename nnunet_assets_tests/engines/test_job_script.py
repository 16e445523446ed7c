"""What a job runs: a script and variables, whatever a declaration or an environment holds."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.engines.job_script import environment_script, job_script

ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=15)
@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True), ANY_TEXT, max_size=4))
def test_every_value_of_a_variable_arrives_as_it_is_and_runs_nothing(variables: dict[str, str]) -> None:
    wanted = {f"nnUNet_{name}": value for name, value in variables.items()}
    printed = subprocess.run(
        ["/bin/bash", "-c", f"{environment_script(wanted)} exec /usr/bin/env -0"],
        env={},
        capture_output=True,
        check=True,
    ).stdout
    found = dict(entry.split("=", 1) for entry in os.fsdecode(printed).split("\0") if "=" in entry)
    assert {name: value for name, value in found.items() if name.startswith("nnUNet_")} == wanted


def test_what_says_something_of_the_supervisors_machine_stays_there() -> None:
    own = {
        **dict.fromkeys(("SLURM_JOB_ID", "SLURM_CONF", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TMPDIR"), "x"),
        **dict.fromkeys(("HOSTNAME", "DAGSTER_PIPES_CONTEXT", "SBATCH_EXPORT", "BASH_FUNC_ls%%"), "x"),
    }
    assert environment_script({**own, "PATH": "/bin", "nnUNet_raw": "/data"}) == (
        "export PATH=/bin\nexport nnUNet_raw=/data\n"
    )


def run_script(folder: Path, resources: Resources, variables: dict[str, str]) -> tuple[int, str]:
    """Runs a script whose Python is one that prints its arguments and a variable."""
    order = JobOrder("nnunet_assets-abc", folder, resources)
    (folder / "environment.sh").write_text(environment_script(variables))
    script = job_script(order).replace("exec ", 'echo "seen: $SEEN"; exec echo ')
    done = subprocess.run(["/bin/bash", "-c", script], env={}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_prologue_and_modules_come_after_the_variables_and_before_python(tmp_path: Path) -> None:
    folder = tmp_path / "it's $(touch x) here"
    folder.mkdir()
    prologue = folder / "set up.sh"
    prologue.write_text('module() { SEEN="$SEEN, $*"; }\nSEEN="$nnUNet_raw, prologue"\n')
    asked = Resources(modules=("cuda/12.1", "python"), prologue=str(prologue))
    code, printed = run_script(folder, asked, {"nnUNet_raw": "variables"})
    assert code == 0
    assert "seen: variables, prologue, load cuda/12.1, load python\n" in printed
    assert printed.endswith(f"-m nnunet_assets.engines.job_process {folder}\n")


@pytest.mark.parametrize("prologue", ["module() { return 1; }\n", "return 3\n", "module() { echo; }; false\n"])
def test_a_module_or_a_prologue_that_fails_ends_the_job_as_wrong_input(tmp_path: Path, prologue: str) -> None:
    (tmp_path / "set_up.sh").write_text(prologue)
    code, printed = run_script(tmp_path, Resources(modules=("cuda",), prologue=str(tmp_path / "set_up.sh")), {})
    assert (code, printed) == (64, "")
