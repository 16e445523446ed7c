"""Which values nnU-Net's variables and ours may have, and that every variable that nnU-Net reads is known."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.variables import check_variables, unread_variables
from nnunet_assets.processes.workers import planning_variables, worker_variables

READ_FROM_OTHERS = {"SLURM_JOB_ID", "LSB_JOBID", "MASTER_PORT", "MASTER_ADDR", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
"""What nnU-Net reads or sets beside its own, none of which a user of this package sets for it."""

WRONG = {
    "nnUNet_def_n_proc": ["0", "-1", "abc", "1.5", " 4"],
    "nnUNet_n_proc_DA": ["-1", "abc", "1.5", "four", "9" * 5000],
    "nnUNet_compile": ["yes", "on", "2", "none"],
    "nnUNet_raw": ["raw", "~/raw", "“/data/raw”", __file__],
    "nnUNet_extTrainer": ["trainers", "/not/there", "/tmp:/not/there"],
    "nnUNet_wandb_enabled": ["yes", "TRUE", "1"],
    "nnUNet_wandb_mode": ["off"],
    "nnUNet_npp": ["-1", "abc"],
    "nnUNet_nps": ["three"],
    "NNUNET_ASSETS_FOLDS_PER_GPU": ["0", "two"],
    "NNUNET_ASSETS_FOLDS_AT_ONCE": ["0", "1.0"],
    "NNUNET_ASSETS_SHARE_FILES": ["maybe"],
    "NNUNET_ASSETS_TRACK_CHECKPOINTS_MB": ["-1", "inf", "nan", "1 GB"],
    "NNUNET_ASSETS_CHILD_VARIABLES": ["*", "A B"],
}
RIGHT = {
    "nnUNet_def_n_proc": ["1", "64"],
    "nnUNet_n_proc_DA": ["0", "12"],
    "nnUNet_compile": ["true", "TRUE", "F", "0"],
    "nnUNet_raw": ["/not/there/yet"],
    "nnUNet_extTrainer": ["/", "/:/tmp", "/:"],
    "nnUNet_wandb_enabled": ["0", "False"],
    "nnUNet_wandb_mode": ["offline"],
    "nnUNet_npp": ["0"],
    "NNUNET_ASSETS_SHARE_FILES": ["1", "No", "true"],
    "NNUNET_ASSETS_TRACK_CHECKPOINTS_MB": ["0", "1.5", "1e3"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_its_reader_cannot_use_is_refused_by_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnunet_assets.processes.variables.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"^{name} (is|names) "):
        check_variables({name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_a_value_that_its_reader_takes_passes(name: str, value: str) -> None:
    check_variables({name: value, "nnUNet_results": ""})


def test_every_variable_that_the_installed_nnunet_reads_is_known() -> None:
    spec = find_spec("nnunetv2")
    assert spec
    assert spec.submodule_search_locations
    text = "\n".join(path.read_text() for path in Path(spec.submodule_search_locations[0]).rglob("*.py"))
    named = re.findall(
        r"""(?:environ(?:\.get)?|getenv|_EnvPath|_getDefaultValue|_enabled)[(\[]\s*['"](\w+)['"]""", text
    )
    named += re.findall(r"""['"](\w+)['"] (?:not )?in os\.environ""", text)
    assert {"nnUNet_raw", "nnUNet_compile", "nnUNet_n_proc_DA", "nnUNet_npp", "nnUNet_wandb_enabled"} <= set(named)
    assert list(unread_variables(dict.fromkeys(set(named) - READ_FROM_OTHERS, "1"))) == []


def test_a_name_that_only_looks_like_one_is_told() -> None:
    names = ("nnUNet_result", "NNUNET_RAW", "nnUNet_n_proc_da", "nnunet_quux", "NNUNET_ASSETS_FOLD_PER_GPU", "HOME")
    assert dict(unread_variables(dict.fromkeys(names, "1"))) == {
        "nnUNet_result": "is set, and nnU-Net reads no variable of that name. Did you mean nnUNet_results?",
        "NNUNET_RAW": "is set, and nnU-Net reads no variable of that name. Did you mean nnUNet_raw?",
        "nnUNet_n_proc_da": "is set, and nnU-Net reads no variable of that name. Did you mean nnUNet_n_proc_DA?",
        "nnunet_quux": "is set, and nnU-Net reads no variable of that name.",
        "NNUNET_ASSETS_FOLD_PER_GPU": "is set, and nnunet-assets reads no variable of that name. "
        "Did you mean NNUNET_ASSETS_FOLDS_PER_GPU?",
    }


def test_no_augmentation_workers_are_one_thread_to_the_planner() -> None:
    none = {"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "3"}
    assert worker_variables(none)["nnUNet_n_proc_DA"] == "0"
    assert planning_variables(none) == {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "3"}
    assert planning_variables({**none, "nnUNet_n_proc_DA": "6"})["nnUNet_n_proc_DA"] == "6"
