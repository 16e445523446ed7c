"""nnU-Net's own notes of which models to predict with: `inference_information.json` and `inference_instructions.txt`.

`nnUNetv2_find_best_configuration` writes them into `nnUNet_results/DATASET`; here they say what this package chose, in
the same words, so that whoever knows nnU-Net's predicts by them. Of a cascade they also have the command of the stage
before, which nnU-Net forgets.

`nnUNetv2_apply_postprocessing` reads the steps as a pickle alone. One is written and none is ever read: reading a
pickle runs what is in it.
"""

import os
import pickle
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.postprocessing_steps import STEP_FUNCTION, Step

INFORMATION_FILE, INSTRUCTIONS_FILE = "inference_information.json", "inference_instructions.txt"
MADE_BY = "made_by"
"""The key by which a file of this package is told from one of nnU-Net's."""

_N_PROCESSES = 8
"""nnU-Net's default."""

_STAGE_BEFORE = "OUTPUT_FOLDER_PREV_STAGE"


@dataclass(frozen=True)
class ChosenModels:
    """What the files say.

    Attributes:
        members: One, or those of an ensemble, in the order of their names.
        previous: Configuration of a cascade to that of the stage before.
        folds: nnU-Net's numbers.
        results: nnU-Net's identifier of each model that was considered to its mean.
        mean_without_steps: Of what is chosen.
        mean: With its steps.
        steps: None are taken where it is empty.
        steps_pickle: Where `postprocessing_pickle` lies.
        plans_file: Of any member; it names the reader and the labels.
        trainer_folders: Where the members' trainers are, as far as nnU-Net does not have them itself.
    """

    members: tuple[Experiment, ...]
    previous: Mapping[str, str]
    folds: tuple[int, ...]
    results: Mapping[str, float | None]
    mean_without_steps: float | None
    mean: float | None
    steps: tuple[Step, ...]
    steps_pickle: Path
    plans_file: Path
    trainer_folders: tuple[str, ...] = ()


def nnunet_identifier(members: Sequence[Experiment], folds: Sequence[int]) -> str:
    """Returns nnU-Net's name of a model, or of an ensemble."""
    if len(members) == 1:
        return members[0].name
    return "___".join(["ensemble", *(member.name for member in members), "_".join(map(str, folds))])


def inference_information(chosen: ChosenModels) -> dict[str, Any]:
    """Returns what `inference_information.json` says."""
    return {
        MADE_BY: "nnunet_assets",
        "folds": list(chosen.folds),
        "dataset_name_or_id": chosen.members[0].dataset,
        "considered_models": [_as_nnunet(one) for one in chosen.members],
        "ensembling_allowed": any(name.startswith("ensemble___") for name in chosen.results),
        "all_results": dict(chosen.results),
        "best_model_or_ensemble": {
            "result_on_crossval_pre_pp": chosen.mean_without_steps,
            "result_on_crossval_post_pp": chosen.mean,
            "postprocessing_file": str(chosen.steps_pickle) if chosen.steps else None,
            "some_plans_file": str(chosen.plans_file),
            "selected_model_or_models": [_as_nnunet(one, key="plans_identifier") for one in chosen.members],
        },
    }


def inference_instructions(chosen: ChosenModels) -> str:
    """Returns what `inference_instructions.txt` says."""
    is_ensemble = len(chosen.members) > 1
    lines = ["***Run inference like this:***\n"]
    if chosen.trainer_folders:
        folders = shlex.quote(os.pathsep.join(chosen.trainer_folders))
        lines += ["The trainer is not one of nnU-Net's own. Tell it first where it is:\n"]
        lines += [f"export nnUNet_extTrainer={folders}\n"]
    if is_ensemble:
        lines.append(
            "An ensemble won! What a surprise! Run the following commands to run predictions with the ensemble "
            "members:\n"
        )
    outputs = [f"OUTPUT_FOLDER_MODEL_{k + 1}" if is_ensemble else "OUTPUT_FOLDER" for k in range(len(chosen.members))]
    for member, output in zip(chosen.members, outputs, strict=True):
        lines += _commands(member, output, chosen, is_ensemble=is_ensemble)
    if is_ensemble:
        lines += [
            "\nThe run ensembling with:\n",
            f"nnUNetv2_ensemble -i {' '.join(outputs)} -o OUTPUT_FOLDER -np {_N_PROCESSES}",
        ]
    if not chosen.steps:
        return "\n".join([*lines, "\nNo postprocessing: the masks stay as they are predicted."]) + "\n"
    lines += [
        "\n***Once inference is completed, run postprocessing like this:***\n",
        f"nnUNetv2_apply_postprocessing -i OUTPUT_FOLDER -o OUTPUT_FOLDER_PP -pp_pkl_file {chosen.steps_pickle} "
        f"-np {_N_PROCESSES} -plans_json {chosen.plans_file}",
    ]
    return "\n".join(lines) + "\n"


def postprocessing_pickle(steps: Sequence[Step]) -> bytes:
    """Returns the steps as nnU-Net's `postprocessing.pkl`: two lists, of its function and of what it is called with.

    The function is named and not imported, since nnU-Net imports torch.
    """
    function = f"cnnunetv2.postprocessing.remove_connected_components\n{STEP_FUNCTION}\n".encode()
    arguments = pickle.dumps([{"labels_or_regions": list(step)} for step in steps], protocol=2)
    # Protocol 2; a list; the functions, appended to it; the other list without its own frame; a pair of both; the end.
    return b"\x80\x02](" + function * len(steps) + b"e" + arguments[2:-1] + b"\x86."


def is_ours(information_file: Path) -> bool:
    """Says whether this package wrote the file, so that it may be written anew or removed."""
    return readable_json(information_file).get(MADE_BY) == "nnunet_assets"


def _commands(member: Experiment, output: str, chosen: ChosenModels, *, is_ensemble: bool) -> list[str]:
    stage = chosen.previous.get(member.configuration)
    # The two blanks are nnU-Net's.
    folds = "".join(f" {fold}" for fold in chosen.folds)
    named = f"-d {member.dataset} -i INPUT_FOLDER -o {{}} -f {folds} -tr {member.trainer} -c {{}} -p {member.plans}"
    command = f"nnUNetv2_predict {named.format(output, member.configuration)}"
    if stage:
        command += f" -prev_stage_predictions {_STAGE_BEFORE}"
    if is_ensemble:
        command += " --save_probabilities"
    return [*([f"nnUNetv2_predict {named.format(_STAGE_BEFORE, stage)}"] if stage else []), command]


def _as_nnunet(one: Experiment, key: str = "plans") -> dict[str, str]:
    return {key: one.plans, "configuration": one.configuration, "trainer": one.trainer}
