"""Where the files of a package lie, the same on the disk, in MLflow and in a zip.

A single model's folder is the package itself: `plans.json`, `dataset.json`, `fold_k/checkpoint_final.pth`, and beside
them `postprocessing.json` and `model.json`. Of several models each has such a folder below `members/`, named as it is
within its dataset: `members/nnUNetTrainer__nnUNetPlans__2d`, `members/VARIANT/nnUNetTrainer__nnUNetPlans__2d`.
"""

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.model_description import MEMBERS_FOLDER, DescribedMember, ModelDescription
from nnunet_assets.core.model.postprocessing_steps import POSTPROCESSING_FILE

PLANS_FILE = "plans.json"
WHOLE = "."
"""The path of a single model within its package."""


def member_path(experiment: Experiment, *, is_single: bool) -> str:
    """Returns where a model lies within its package."""
    return WHOLE if is_single else f"{MEMBERS_FOLDER}/{experiment.name_in_dataset}"


def within(member: DescribedMember | str, name: str) -> str:
    """Returns the path within the package of a member's file."""
    path = member if isinstance(member, str) else member.path
    return name if path == WHOLE else f"{path}/{name}"


def checkpoint_paths(member: DescribedMember) -> tuple[str, ...]:
    """Returns the paths of its checkpoints within the package, in the order of the folds."""
    return tuple(within(member, f"{fold}/{member.checkpoint}") for fold in member.folds)


def expected_files(description: ModelDescription) -> tuple[str, ...]:
    """Returns the paths of all files of a package but model.json."""
    own = (
        path
        for member in description.members
        for path in (within(member, PLANS_FILE), within(member, DATASET_JSON), *checkpoint_paths(member))
    )
    return (POSTPROCESSING_FILE, *own)
