"""nnU-Net's notes of what to predict with, written where plain nnU-Net can predict with what was chosen.

On disk: `inference_information.json` and `inference_instructions.txt` in `nnUNet_results/DATASET`, or in that of the
variant that all members are of.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, fold_index
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.plans.inference_files import (
    INFORMATION_FILE,
    INSTRUCTIONS_FILE,
    ChosenModels,
    inference_information,
    inference_instructions,
    is_ours,
    nnunet_identifier,
)
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.trainer.trainer_names import trainer_folders, trainer_names
from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.settings import Settings

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration


def write_inference_notes(
    settings: Settings,
    found: "BestConfiguration",
    experiments: Mapping[str, Experiment],
    folds: Sequence[str],
    steps_pickle: Path,
) -> tuple[list[Path], str]:
    """Writes nnU-Net's two files and returns them, or none of them and why not in a sentence.

    A file that nnU-Net wrote itself stays; one of this package that does not hold any more is removed.

    Args:
        settings: Of the project.
        found: The choice.
        experiments: By its name in the dataset, what each member of a candidate is.
        folds: Of the cross-validation.
        steps_pickle: Where nnU-Net finds the postprocessing steps.
    """
    members = tuple(experiments[name] for name in found.chosen_candidate.members)
    reason = _why_not(settings, members)
    chosen_root = settings.roots.for_variant(members[0].variant).results / found.dataset
    remove_inference_notes(settings, found.dataset, experiments.values(), but=None if reason else chosen_root)
    files = [chosen_root / INFORMATION_FILE, chosen_root / INSTRUCTIONS_FILE]
    if not reason and any(file.exists() for file in files) and not is_ours(files[0]):
        reason = (
            f"{files[0].name} is one that nnUNetv2_find_best_configuration wrote, and stays. Remove it and "
            f"{files[1].name} for what was chosen here"
        )
    if reason:
        return [], f"nnU-Net's {INSTRUCTIONS_FILE} is not written: {reason}."
    chosen = _chosen_models(settings, found, experiments, folds, steps_pickle)
    write_json_atomically(files[0], inference_information(chosen))
    write_atomically(files[1], inference_instructions(chosen).encode())
    return files, ""


def remove_inference_notes(
    settings: Settings, dataset: str, experiments: Iterable[Experiment], *, but: Path | None = None
) -> None:
    """Removes the notes of this package that do not hold any more, wherever the experiments lie.

    Args:
        settings: Of the project.
        dataset: Of the choice.
        experiments: That are declared on it.
        but: Folder whose notes stay; None: none do.
    """
    for root in {settings.roots.for_variant(one.variant).results / dataset for one in experiments}:
        if root != but and is_ours(root / INFORMATION_FILE):
            for name in (INSTRUCTIONS_FILE, INFORMATION_FILE):  # the one that says whose they are goes last
                (root / name).unlink(missing_ok=True)


def _why_not(settings: Settings, members: Sequence[Experiment]) -> str:
    """Returns why plain nnU-Net cannot predict with these members; empty: it can."""
    if len({member.variant for member in members}) > 1:
        names = first_offenders([member.name_in_dataset for member in members])
        return f"{names} lie in different nnUNet_results folders, of which plain nnU-Net knows one at a time"
    known = trainer_names(settings.child_environment())
    if known is not None and (odd := [member.trainer for member in members if member.trainer not in known]):
        return f"plain nnU-Net has no trainer {first_offenders(odd)}"
    return ""


def _trainer_folders(settings: Settings, trainers: Iterable[str]) -> tuple[str, ...]:
    """Returns where nnU-Net has to look for trainers beside its own, in the order in which it does."""
    variables = settings.child_environment()
    nnunets, *others = trainer_folders(variables)
    found = found_trainers(variables)
    needed = {found.classes[base].folder for name in trainers if name in found.classes for base in found.lineage(name)}
    return tuple(str(folder) for folder in dict.fromkeys(others) if folder in needed - {nnunets})


def _chosen_models(
    settings: Settings,
    found: "BestConfiguration",
    experiments: Mapping[str, Experiment],
    folds: Sequence[str],
    steps_pickle: Path,
) -> ChosenModels:
    chosen, roots = found.chosen_candidate, settings.roots
    members = tuple(experiments[name] for name in chosen.members)
    numbers = tuple(index for fold in folds if (index := fold_index(fold)) != "all")
    plans = {member: Plans.read(member.model_folder(roots) / "plans.json").configurations for member in members}
    stages = {member.configuration: member.previous_stage(planned) for member, planned in plans.items()}
    as_it_is = [one for one in found.candidates if not one.steps]
    results = {}
    for one in as_it_is:
        of = [experiments[name] for name in one.members]
        if {member.variant for member in of} == {members[0].variant}:  # others plain nnU-Net does not see beside these
            results[nnunet_identifier(of, numbers)] = one.mean
    return ChosenModels(
        members=members,
        previous={name: stage.configuration for name, stage in stages.items() if stage},
        folds=numbers,
        results=results,
        mean_without_steps=next((one.mean for one in as_it_is if one.model == chosen.model), None),
        mean=chosen.mean,
        steps=chosen.steps,
        steps_pickle=steps_pickle,
        plans_file=members[0].model_folder(roots) / "plans.json",
        trainer_folders=_trainer_folders(settings, [member.trainer for member in members]),
    )
