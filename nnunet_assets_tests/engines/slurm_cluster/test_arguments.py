"""What `sbatch` is called with, whatever a declaration holds."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.declarations.sections.engine_config import OWN_OPTIONS, EngineConfig
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.engines.job_script import job_script
from nnunet_assets.engines.slurm_cluster.arguments import sbatch_arguments

SMUGGLED = "x\n#SBATCH --uid=0 --export=ALL"
PIECES = (
    "#SBATCH",
    "--export=ALL",
    "--uid=0",
    "--wrap=id",
    "\n",
    "\r",
    "\x85",
    "\u2028",
    "'",
    '"',
    "$(id)",
    "`id`",
    "; id",
    " ",
)
"""What a text may be made of, so that one in many means harm."""

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.lists(
    st.sampled_from(PIECES) | st.sampled_from(OWN_OPTIONS) | st.text("-=gpu/", max_size=4), max_size=5
).map("".join)

ORDER = JobOrder("nnunet_assets-abc", Path("/data/fold_0/jobs/abc"), Resources())


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


def declared(**fields: Any) -> Resources | None:
    """Returns what a job gets by a declaration; None: it is refused."""
    try:
        return EngineConfig(kind="slurm", **fields).resources(device="cuda", num_gpus=1)
    except ValidationError:
        return None


@given(st.sampled_from(["partition", "account", "gpu_type"]), ANY_TEXT)
@example("partition", SMUGGLED)
@example("account", "a --uid=0")
@example("gpu_type", "a100:8,license")
def test_a_word_of_a_declaration_is_refused_or_the_value_of_its_own_argument(field: str, text: str) -> None:
    asked = declared(**{field: text})
    if asked is None:
        return
    arguments = sbatch_arguments(replace(ORDER, resources=asked))
    shown = f"--gres=gpu:{text}:1" if field == "gpu_type" else f"--{field}={text}"
    others = [one for one in sbatch_arguments(ORDER) if not one.startswith("--gres=")]
    assert sorted(arguments) == sorted({*others, "--gres=gpu:1" if field != "gpu_type" else shown, shown})
    assert job_script(replace(ORDER, resources=asked)) == job_script(ORDER)


@given(ANY_TEXT)
@example(f"--comment={SMUGGLED}")
@example("--exp=ALL")
@example("--comment=#SBATCH --uid=0")
def test_an_option_of_a_declaration_is_refused_or_one_argument_that_decides_nothing_of_the_supervision(
    text: str,
) -> None:
    for option in (text, f"--{text}", f"--comment={text}"):
        asked = declared(options=[option])
        if asked is None:
            continue
        arguments = sbatch_arguments(replace(ORDER, resources=asked))
        name = option.partition("=")[0]
        assert arguments[:-2] == sbatch_arguments(ORDER)[:-1]
        assert arguments[-2:] == [option, sbatch_arguments(ORDER)[-1]]
        assert option.isprintable() or not any(ord(letter) < 32 or ord(letter) == 127 for letter in option)
        assert not [own for own in OWN_OPTIONS if own.startswith(name)]
        assert job_script(replace(ORDER, resources=asked)) == job_script(ORDER)


@given(st.lists(ANY_TEXT, max_size=2), ANY_TEXT)
@example(["cuda"], f"/{SMUGGLED}")
@example(["cuda"], "/it's $(id) here")
def test_modules_and_prologue_are_refused_or_words_that_no_shell_reads_as_its_own(
    modules: list[str], prologue: str
) -> None:
    for file in (prologue, f"/{prologue}"):
        asked = declared(modules=modules, prologue=file)
        if asked is None:
            continue
        script = job_script(replace(ORDER, resources=asked))
        assert ["#SBATCH" in line for line in script.splitlines()[:2]] == [False, False]
        # Slurm reads its own lines up to the first command, which is the second line.
        assert script.splitlines()[1] == "trap '' USR1"
        read = [shlex.split(line) for line in script.split("\n") if line.startswith((". ", "module load "))]
        assert [words[1] for words in read if words[0] == "."][1:] == [file]
        assert [words[2] for words in read if words[0] == "module"] == modules
