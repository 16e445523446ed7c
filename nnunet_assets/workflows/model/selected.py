"""The model that `best_configuration` chose, as one that predicts, with what is known of how it was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import ENSEMBLES, Experiment, comparison_folder
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import ModelNumber
from nnunet_assets.core.model.model_digest import model_digest
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import SummaryError, first_offenders
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import known_orientations
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.usable import usable_member

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration

RULE = (
    "The best mean Dice of the foreground; of the candidates that cannot be told from it, the simplest: a single model "
    "before an ensemble, one without postprocessing before one with, fewer parameters first."
)


@dataclass(frozen=True)
class SelectedModel:
    """What was chosen.

    Attributes:
        model: Its members, with the postprocessing steps that it takes.
        experiments: What the members were trained as, in the order of their names.
        folds: Of each member.
        about: Its numbers (`dice` of the cross-validation, `expected_dice` corrected for the choice), and how it was
            chosen; what its members were made from is to be added.
        best: The whole choice.
    """

    model: UsableModel
    experiments: tuple[Experiment, ...]
    folds: tuple[str, ...]
    about: AboutModel
    best: "BestConfiguration"

    @property
    def selection(self) -> Mapping[str, Any]:
        """How it was chosen, as JSON values."""
        return self.about.selection or {}


def selected_model(settings: Settings, project: Project, dataset: str) -> SelectedModel:
    """Returns the model that was chosen last; every byte of its checkpoints is read.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: Nothing was chosen yet, or the chosen one was trained again since, or is not declared any more.
        FoldError: As `usable_member`.
    """
    project.dataset(dataset)
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.core.selection.best_configuration_files import BEST_CONFIGURATION_FILE, read_best_configuration

    best = read_best_configuration(comparison_folder(settings.roots, dataset) / BEST_CONFIGURATION_FILE)
    chosen = best.chosen_candidate
    configs = {one.identity.name_in_dataset: one for one in project.experiments_of(dataset)}
    if gone := [name for name in chosen.members if name not in configs]:
        raise SummaryError(
            f"{chosen.name} was chosen for {dataset}, and {first_offenders(gone)} is not declared any more. Declare "
            "it, or materialize best_configuration again."
        )
    _refuse_older(settings, best, configs[chosen.members[0]].identity)
    names = sorted(chosen.members)
    folds = [project.folds_of(configs[name]) for name in names]
    shared = tuple(fold for fold in folds[0] if all(fold in others for others in folds))
    experiments = tuple(configs[name].identity for name in names)
    found = [usable_member(settings, one, shared) for one in experiments]
    model = UsableModel(
        title=chosen_title(best),
        members=tuple(one.member for one in found),
        postprocessing=chosen.steps,
        digest=model_digest([one.digest for one in found], chosen.steps),
    )
    about = about_choice(best, shared)
    known = known_orientations(PreparedFolder(settings.roots, dataset))
    return SelectedModel(model, experiments, shared, replace(about, orientations=known), best)


def _refuse_older(settings: Settings, best: "BestConfiguration", member: Experiment) -> None:
    """Passes where the summary of what was chosen is the one that it was chosen by."""
    name = best.chosen_candidate.model
    prefix, _, ensemble = name.partition("/")
    is_ensemble = len(best.chosen_candidate.members) > 1 and prefix == ENSEMBLES
    experiment = Experiment.ensemble(best.dataset, ensemble) if is_ensemble else member
    summary = read_current_summary(settings.roots, experiment)
    if best.made_of.get(name, "") != json_sha256(summary.to_json()):
        raise SummaryError(
            f"{name} was chosen for {best.dataset} by another summary than it has now. Materialize best_configuration "
            "again."
        )


def chosen_title(best: "BestConfiguration") -> str:
    """Returns what the model that was chosen is called, for people."""
    return f"{best.dataset} / {best.chosen}"


def about_choice(best: "BestConfiguration", folds: Sequence[str]) -> AboutModel:
    """Returns what is known of the model that was chosen: its numbers, and how it was.

    Args:
        best: The choice.
        folds: That the model predicts with.
    """
    numbers = {}
    own = best.chosen_candidate.mean
    if own is not None:
        numbers["dice"] = ModelNumber(
            mean=own,
            interval=None,
            n_cases=best.n_cases,
            estimand="Mean Dice of the foreground labels, each case predicted by the fold that was not trained on it; "
            f"the model was chosen by it among {len(best.candidates)} candidates.",
        )
    if best.expected:
        numbers["expected_dice"] = ModelNumber(
            mean=best.expected.mean,
            interval=best.expected.interval,
            n_cases=best.n_cases,
            estimand=f"Mean Dice of the foreground labels of a model that is trained on all of {len(folds)} folds but "
            "one and chosen by this rule on others than it is scored on.",
        )
    selection = {
        "rule": RULE,
        "chosen": best.chosen,
        "candidates": [
            {"name": one.name, "dice": one.mean, "is_distinguished": one.is_distinguished} for one in best.candidates
        ],
        "expected": best.to_json()["expected"],
        "optimism": best.optimism,
        "n_cases": best.n_cases,
        "n_patients": best.n_patients,
        "reasons": best.reasons(),
    }
    return AboutModel(numbers=numbers, selection=selection)
