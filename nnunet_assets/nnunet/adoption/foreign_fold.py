"""A finished fold of plain nnU-Net: what its files say, where they agree with each other and with their place.

The checkpoint is a pickle from elsewhere, and is read without running the code that it may carry. That needs torch.
"""

import pickle
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import Experiment, fold_index
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT
from nnunet_assets.core.validation.case_results import CaseResult, read_case_results
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, file_name_of
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.adoption.checkpoint_form import check_form
from nnunet_assets.nnunet.adoption.foreign_files import logged_validation_sizes, read_debug
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code, refuse_foreign_code_in


@dataclass(frozen=True)
class ForeignFold:
    """What the files of a fold say."""

    experiment: Experiment
    fold: str
    plans: Mapping[str, Any]
    description: Mapping[str, Any]
    logging: Mapping[str, Sequence[Any]]
    debug: Mapping[str, str]
    n_epochs: int
    cases: tuple[CaseResult, ...]


def read_foreign_fold(fold_folder: Path, experiment: Experiment, trusted: Container[str]) -> ForeignFold:
    """Returns what the files say, where they agree with each other and with the place in which they lie.

    Raises:
        FoldError: They do not, or the checkpoint holds more than a checkpoint.
        ForeignCodeError: The plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        SummaryError: The scores are torn, or those of another dataset.
    """
    file = fold_folder / FINAL_CHECKPOINT
    checkpoint = _checkpoint(file)
    arguments = checkpoint["init_args"]
    plans, description = arguments["plans"], arguments["dataset_json"]
    refuse_foreign_code(file, trusted, plans=plans, dataset_json=description, is_to_run=False)
    beside = (fold_folder.parent / "plans.json", fold_folder.parent / DATASET_JSON)
    refuse_foreign_code_in(*beside, trusted, is_to_run=False)
    _check_place(
        file,
        {
            "dataset": (plans.get("dataset_name"), experiment.dataset),
            "plans": (plans.get("plans_name"), experiment.plans),
            "configuration": (arguments["configuration"], experiment.configuration),
            "trainer": (checkpoint["trainer_name"], experiment.trainer),
            "fold": (str(arguments["fold"]), str(fold_index(fold_folder.name))),
        },
    )
    _check_labels(fold_folder.parent, description)
    case_ids = _case_ids(fold_folder, description["file_ending"])
    cases = read_case_results(fold_folder, description["labels"], case_ids, file_ending=description["file_ending"])
    _check_split_size(fold_folder, len(cases))
    return ForeignFold(
        experiment,
        fold_folder.name,
        plans,
        description,
        checkpoint["logging"],
        read_debug(fold_folder),
        int(checkpoint["current_epoch"]),
        cases,
    )


def _checkpoint(file: Path) -> dict[str, Any]:
    try:
        content = load_without_code(file)
        missing = {"init_args", "trainer_name", "logging", "current_epoch"} - set(content)
        missing |= {"plans", "dataset_json", "configuration", "fold"} - set(content.get("init_args", {}))
    except pickle.UnpicklingError as error:
        raise FoldError(
            f"{file} holds more than a checkpoint of nnU-Net, and loading it could run code that it carries. It is not "
            f"adopted. ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, OSError, TypeError, AttributeError) as error:
        raise FoldError(f"{file} is damaged, or no checkpoint: {error}.") from error
    if missing:
        raise FoldError(f"{file} is no checkpoint of nnU-Net v2: it has no {first_offenders(sorted(missing))}.")
    check_form(file, content)
    checkpoint: dict[str, Any] = content
    return checkpoint


def _check_place(file: Path, said: Mapping[str, tuple[Any, str]]) -> None:
    odd = [f"{name} {inside!r}, not {place!r}" for name, (inside, place) in said.items() if inside != place]
    if odd:
        raise FoldError(
            f"{file} is not of the place where it lies: it says {first_offenders(odd)}. It was copied or renamed; put "
            "it back where nnU-Net wrote it."
        )


def _check_labels(model_folder: Path, description: Mapping[str, Any]) -> None:
    path = model_folder / "dataset.json"
    try:
        there = load_json(path)
    except (OSError, ValueError) as error:
        raise FoldError(f"{path}, which nnU-Net writes beside the folds, cannot be read: {error}.") from error
    if not isinstance(there, dict):
        raise FoldError(f"{path}, which nnU-Net writes beside the folds, holds a {type(there).__name__}, no object.")
    odd = [key for key in ("labels", "file_ending") if there.get(key) != description.get(key)]
    if odd:
        raise FoldError(
            f"{path} has other {' and '.join(odd)} than the fold was trained with. Restore the file of that training."
        )


def _case_ids(fold_folder: Path, file_ending: str) -> list[str]:
    """Returns the cases that summary.json names, each once: which they were to be nothing else in the fold says."""
    try:
        entries = load_json(fold_folder / SUMMARY_FILE)["metric_per_case"]
        return sorted({file_name_of(entry["prediction_file"]).removesuffix(file_ending) for entry in entries})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []  # torn: reading the scores says so


def _check_split_size(fold_folder: Path, n_cases: int) -> None:
    """Refuses scores of fewer or more cases than any log says were to be validated."""
    sizes = logged_validation_sizes(fold_folder)
    if sizes and n_cases not in sizes:
        raise FoldError(
            f"{fold_folder / SUMMARY_FILE} has the scores of {n_cases} cases, and by the log {sizes[-1]} were to be "
            "validated. Run the validation again (nnUNetv2_train --val), then adopt the fold."
        )
