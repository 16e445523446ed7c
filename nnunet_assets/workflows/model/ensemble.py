"""Ensembles of a dataset's experiments: made where they are missing or out of date, and summarized like an experiment.

On disk: `nnUNet_results/DATASET/ensembles/NAME/` (see `nnunet.ensembles.ensemble_fold`), with a summary in its
`nnunet_assets/`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.declarations.project import declared_if_any
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
    def summary(self) -> CvSummary:
        """What its folds scored."""
        return self.made.summary

    @property
    def validation_folders(self) -> Mapping[str, Path]:
        """By fold, the folder of its masks."""
        return {fold: self.folder / fold / "validation" for fold in self.folds}

    def headline(self) -> str:
        """Returns the result in one line."""
        return self.summary.headline()


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
