"""An experiment of a project as a model that predicts: its finished folds, or its model of every case."""

from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, Roots, fold_index
from nnunet_assets.core.model.model_digest import model_digest
from nnunet_assets.core.model.package_layout import PLANS_FILE
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets.settings import Settings


@dataclass(frozen=True)
class FoundMember:
    """A member of a model, and what names it by its content.

    Attributes:
        member: Where it lies.
        digest: Of weights, plans, dataset.json, the version of nnU-Net, and the stage before.
    """

    member: Member
    digest: str


def usable_experiment(
    settings: Settings, experiment: Experiment, folds: Sequence[str], steps: Sequence[Step] = ()
) -> UsableModel:
    """Returns the model that the folds of an experiment are; every byte of their checkpoints is read.

    Args:
        settings: Of the project.
        experiment: Whose folds.
        folds: Those of a complete cross-validation, or `fold_all` alone.
        steps: What a mask goes through.

    Raises:
        NnunetAssetsError: As `usable_member`.
    """
    found = usable_member(settings, experiment, folds)
    digest = model_digest([found.digest], steps)
    return UsableModel(model_title(experiment, folds), (found.member,), tuple(steps), digest)


def usable_ensemble(
    settings: Settings,
    ensemble: Experiment,
    members: Sequence[Experiment],
    folds: Sequence[str],
    steps: Sequence[Step] = (),
) -> UsableModel:
    """Returns the model whose masks are those of the mean of its members' probabilities.

    Args:
        settings: Of the project.
        ensemble: What the results of the ensemble are called.
        members: Experiments of one dataset; their probabilities are added in the order of their names.
        folds: Of each member.
        steps: What a mask goes through.

    Raises:
        NnunetAssetsError: As `usable_member`.
    """
    in_order = sorted(members, key=lambda one: "/".join(one.key_prefix))
    found = [usable_member(settings, member, folds) for member in in_order]
    digest = model_digest([one.digest for one in found], steps)
    title = model_title(ensemble, folds, len(found))
    return UsableModel(title, tuple(one.member for one in found), tuple(steps), digest)


def model_title(identity: Experiment, folds: Sequence[str], n_members: int = 1) -> str:
    """Returns what a model is called, for people.

    Args:
        identity: The experiment, or what the results of the ensemble are called.
        folds: Of each member.
        n_members: That are averaged.
    """
    name = "the model of every case" if FULL_FOLD in folds else f"{len(folds)} folds"
    return f"{identity.title}, {f'{n_members} members of {name}' if n_members > 1 else name}"


def usable_member(settings: Settings, experiment: Experiment, folds: Sequence[str]) -> FoundMember:
    """Returns an experiment's finished folds as a member of a model, with the stage before where it is a cascade.

    Args:
        settings: Of the project.
        experiment: Whose folds.
        folds: Those of a complete cross-validation, or `fold_all` alone. The stage before has the same; of a model of
            every case it is all folds of that stage, since their predictions are what it was trained on.

    Raises:
        FoldError: A fold is not finished, has no checkpoint, or the model's folder has other plans.
        SummaryError: The folds were not made from the same.
    """
    roots = settings.roots
    ensemble = finished_ensemble(roots, experiment, folds)
    stage = experiment.previous_stage(Plans.read(ensemble.folder / PLANS_FILE).configurations)
    before = usable_member(settings, stage, _folds_before(roots, stage, folds)) if stage else None
    member = Member(experiment, ensemble.folder, ensemble.folds, ensemble.checkpoint, before.member if before else None)
    return FoundMember(member, json_sha256([ensemble.digest, before.digest if before else None]))


def _folds_before(roots: Roots, stage: Experiment, folds: Sequence[str]) -> Sequence[str]:
    """Returns the folds by which the stage before predicts."""
    if FULL_FOLD not in folds:
        return folds
    numbered = [path.name for path in stage.model_folder(roots).glob("fold_*") if _is_numbered(path.name)]
    return sorted(numbered, key=lambda fold: int(fold_index(fold))) or [FULL_FOLD]


def _is_numbered(name: str) -> bool:
    try:
        return fold_index(name) != "all"
    except ConfigError:
        return False
