"""Ensembles of a dataset's experiments: made where they are missing or out of date, and summarized like an experiment.

On disk: `nnUNet_results/DATASET/ensembles/NAME/` (see `nnunet.ensembles.ensemble_fold`), with a summary in its
`nnunet_assets/`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import (
    CONFIGURATION_PATTERN,
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    ENSEMBLES,
    Experiment,
    Roots,
)
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.summary.cv_groups import fold_order
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.named_experiment import experiment_named
from nnunet_assets.declarations.project import Project, declared_if_any, read_project
from nnunet_assets.errors import ConfigError, FoldError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.summarize import MadeSummary, make_summary


@dataclass(frozen=True)
class MadeEnsemble:
    """An ensemble that is up to date.

    Attributes:
        ensemble: What it is called; a summary, a comparison and whoever reads results take it like an experiment.
        members: In the order in which their probabilities are added.
        folder: Its folder, beside the models.
        folds: Those that it has.
        made_folds: Those that were made now; the others were there.
        n_predicted: Cases whose probabilities were predicted for it and for those made beside it.
        made: Its summary.
    """

    ensemble: Experiment
    members: tuple[Experiment, ...]
    folder: Path
    folds: tuple[str, ...]
    made_folds: tuple[str, ...]
    n_predicted: int
    made: MadeSummary

    @property
    def summary(self) -> ScoredSummary:
        """What its folds scored."""
        return self.made.summary

    @property
    def validation_folders(self) -> Mapping[str, Path]:
        """By fold, the folder of its masks."""
        return {fold: self.folder / fold / "validation" for fold in self.folds}

    def headline(self) -> str:
        """Returns the result in one line."""
        return self.summary.headline()

    def to_json(self) -> dict[str, Any]:
        """Returns what it is and what it scored, as JSON values."""
        return {
            "ensemble": self.ensemble.name_in_dataset,
            "members": [member.name_in_dataset for member in self.members],
            "folder": str(self.folder),
            "folds_made": list(self.made_folds),
            "cases_predicted": self.n_predicted,
            **self.summary.to_json(),
        }


def make_ensemble(
    settings: Settings,
    dataset: str,
    members: Sequence[Experiment],
    name: str | None,
    progress: Progress,
    *,
    folds: Sequence[str] | None = None,
    device: str = "auto",
    keeps_probabilities: bool = False,
    environment: Mapping[str, str] | None = None,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> MadeEnsemble:
    """Brings an ensemble up to date: only what is missing, or has a member that changed, is predicted and made.

    Args:
        settings: Of the project.
        dataset: Whose experiments.
        members: Two or more, in any order.
        name: None: by what tells the members apart, see `ensemble_name`.
        progress: Told of what is predicted and made.
        folds: `fold_0` ...; None: as the members declare, else those that they have finished.
        device: What predicts: `auto`, `cuda`, `cpu` or `mps`.
        keeps_probabilities: Whether those of the members stay on the disk.
        environment: Of the processes; None: the settings' own.
        destination: Where the summary's run is brought up to date; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        ConfigError: The members are no ensemble: fewer than two, one twice, another dataset's; or the name is none.
        FoldError: A fold of a member is not finished, or members differ in data, splits, cases or labels.
        PredictionError: Memory or disk do not suffice.
        NnunetAssetsError: A process ended without its result, or the folds must not be averaged.
    """
    chosen = ensemble_name(members) if name is None else name
    found = make_ensembles(
        settings,
        dataset,
        {chosen: members},
        progress,
        folds=folds,
        device=device,
        keeps_probabilities=keeps_probabilities,
        environment=environment,
        destination=destination,
        dagster_run_id=dagster_run_id,
    )
    return found[chosen]


def make_ensembles(
    settings: Settings,
    dataset: str,
    wanted: Mapping[str, Sequence[Experiment]],
    progress: Progress,
    *,
    folds: Sequence[str] | None = None,
    device: str = "auto",
    keeps_probabilities: bool = False,
    environment: Mapping[str, str] | None = None,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> dict[str, MadeEnsemble]:
    """Brings several ensembles up to date together: a member of more than one predicts each case once.

    Args:
        wanted: Members by the ensemble's name. They are made of the same folds: those that all members have.

    For the other arguments, and what is raised, see `make_ensemble`.
    """
    # nnU-Net's side reads images with numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.nnunet.ensembles import ensembling
    from nnunet_assets.nnunet.ensembles.agreement import check_names

    for name in wanted:
        _check_name(name)
    members = {name: check_names(dataset, of) for name, of in wanted.items()}
    used = (
        tuple(folds)
        if folds is not None
        else shared_folds(settings, {member for of in members.values() for member in of})
    )
    done = ensembling.make_ensembles(
        settings.roots,
        dataset,
        [ensembling.Wanted(name, of, keeps_probabilities) for name, of in members.items()],
        used,
        device=device,
        environment=settings.child_environment() if environment is None else environment,
        progress=progress,
    )
    return {
        name: MadeEnsemble(
            ensemble=(ensemble := Experiment.ensemble(dataset, name)),
            members=of,
            folder=ensemble.model_folder(settings.roots),
            folds=used,
            made_folds=done.made.get(name, ()),
            n_predicted=done.n_predicted,
            made=make_summary(settings.roots, ensemble, used, destination=destination, dagster_run_id=dagster_run_id),
        )
        for name, of in members.items()
    }


def make_named_ensemble(
    settings: Settings,
    dataset: str,
    words: Sequence[str],
    name: str | None,
    progress: Progress,
    *,
    device: str | None = None,
    keeps_probabilities: bool | None = None,
) -> MadeEnsemble:
    """Brings the ensemble up to date that a person names, by its members or as it is declared.

    Args:
        settings: Of the project.
        dataset: Whose experiments.
        words: Of each member, as many of its words as tell it from other declared experiments; none: a declared
            ensemble is meant.
        name: What it is called; None: by its members, or the only one that is declared.
        progress: Told of what is predicted and made.
        device: None: as declared, else `auto`.
        keeps_probabilities: None: as declared, else they are removed.

    Raises:
        ConfigError: A word names no experiment, or several; or no such ensemble is declared, or one of other members.
        NnunetAssetsError: As `make_ensemble`.
    """
    project = read_project(settings.project)
    project.dataset(dataset)
    declared = _declared(project, dataset, name, is_alone=not words)
    members = [experiment_named([dataset, one], project).identity for one in words]
    if declared and members and {*members} != {*project.members[declared.identity]}:
        of = first_offenders([member.name_in_dataset for member in project.members[declared.identity]])
        raise ConfigError(f"{declared.identity.title} is declared, of other members: {of}. Give yours another name.")
    return make_ensemble(
        settings,
        dataset,
        members or project.members[declared.identity] if declared else members,
        declared.name if declared else name,
        progress,
        folds=project.folds_of_ensemble(declared) if declared else None,
        device=device or (declared.device if declared else "auto"),
        keeps_probabilities=(
            bool(declared and declared.keep_probabilities) if keeps_probabilities is None else keeps_probabilities
        ),
    )


def _declared(project: Project, dataset: str, name: str | None, *, is_alone: bool) -> EnsembleConfig | None:
    """Returns the declared ensemble of a name; None: members are named, and it is not declared."""
    there = project.ensembles_of(dataset)
    found = [one for one in there if name in (None, one.name)]
    if not is_alone:
        return next((one for one in there if one.name == name), None)
    if len(found) == 1:
        return found[0]
    names = first_offenders([one.name for one in there]) or "none"
    said = f"no ensemble {name!r}" if name else "no ensemble alone"
    raise ConfigError(
        f"{project.root} declares {said} of {dataset}. Declared: {names}. Name one of them with --name, or the members "
        "of one that is not declared."
    )


def ensemble_name(members: Sequence[Experiment]) -> str:
    """Returns a name for an ensemble by its members: `2d-3d_fullres`, with a digest where that does not say all."""
    ordered = sorted(members, key=lambda member: member.name_in_dataset)
    name = "-".join(member.configuration for member in ordered)
    is_plain = all(
        (member.variant, member.plans, member.trainer) == (None, DEFAULT_PLANS, DEFAULT_TRAINER) for member in ordered
    )
    if is_plain and re.fullmatch(CONFIGURATION_PATTERN, name) and "__" not in name:
        return name
    digest = json_sha256([member.name_in_dataset for member in ordered])[:8]
    return f"{name.replace('__', '_')[:50]}-{digest}"


def shared_folds(settings: Settings, members: Collection[Experiment]) -> tuple[str, ...]:
    """Returns the folds of an ensemble: those that its members declare, or have finished where nobody declares them.

    Raises:
        FoldError: They have none in common.
    """
    declared = declared_if_any(settings.project)
    known = {config.identity: declared.folds_of(config) for config in declared.experiments}
    folds = {member: known.get(member) or _finished_folds(settings.roots, member) for member in members}
    shared = set.intersection(*({*of} for of in folds.values()))
    if not shared:
        there = [f"{member.name_in_dataset} ({first_offenders(of) or 'none'})" for member, of in folds.items()]
        raise FoldError(
            f"An ensemble is scored fold by fold, and its members have no fold in common: {first_offenders(there)}. "
            "Train one of them all; a model of all cases (fold_all) has no validation cases."
        )
    return tuple(sorted(shared, key=fold_order))


def _finished_folds(roots: Roots, experiment: Experiment) -> list[str]:
    folders = experiment.model_folder(roots).glob("fold_[0-9]*")
    return [folder.name for folder in folders if read_committed(folder)]


def _check_name(name: str) -> None:
    if not re.fullmatch(CONFIGURATION_PATTERN, name) or "__" in name:
        raise ConfigError(
            f"{name!r} is no name of an ensemble, which is that of its folder in {ENSEMBLES}/: at most 64 letters, "
            "digits, '.', '_' or '-', a letter or a digit first, and no '__'."
        )
