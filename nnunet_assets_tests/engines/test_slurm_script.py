"""What Slurm is given: arguments, a script and variables, whatever a declaration or an environment holds."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.engines.slurm_script import batch_script, environment_script, sbatch_arguments

ORDER = JobOrder("nnunet_assets-abc", Path("/data/fold_0/jobs/abc"), Resources())
ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def test_what_is_declared_becomes_arguments_and_what_is_not_is_left_to_the_cluster() -> None:
    plain = sbatch_arguments(ORDER)
    assert plain[-1] == "/data/fold_0/jobs/abc/job.sh"
    assert {"--hold", "--no-requeue", "--export=NONE", "--gres=gpu:1", "--signal=B:USR1@300"} <= set(plain)
    assert not [one for one in plain if one.startswith(("--mem", "--cpus", "--time", "--partition", "--account"))]
    asked = Resources(2, "a100", 12, 60.5, 90, "gpu", "radiology", ("--qos=long", "--exclude=n[1,3]"))
    given_ = sbatch_arguments(replace(ORDER, resources=asked))
    assert {"--gres=gpu:a100:2", "--cpus-per-task=12", "--mem=61952M", "--time=90", "--partition=gpu"} <= set(given_)
    assert {"--account=radiology", "--qos=long", "--exclude=n[1,3]"} <= set(given_)


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 15), (2, 30), (20, 300), (1440, 300), (None, 300)])
def test_a_short_job_is_warned_later(minutes: int | None, seconds: int) -> None:
    asked = replace(ORDER, resources=Resources(time_limit_minutes=minutes))
    assert f"--signal=B:USR1@{seconds}" in sbatch_arguments(asked)


def test_without_gpus_none_is_asked_for() -> None:
    assert not [one for one in sbatch_arguments(replace(ORDER, resources=Resources(gpus=0))) if "gpu" in one]


def test_slurms_own_patterns_in_a_path_are_no_patterns() -> None:
    odd = replace(ORDER, folder=Path("/data/100%j/abc"))
    assert "--output=/data/100%%j/abc/job.log" in sbatch_arguments(odd)


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
    """Runs a batch script whose Python is one that prints its arguments and a variable."""
    order = JobOrder("nnunet_assets-abc", folder, resources)
    (folder / "environment.sh").write_text(environment_script(variables))
    script = batch_script(order).replace("exec ", 'echo "seen: $SEEN"; exec echo ')
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
