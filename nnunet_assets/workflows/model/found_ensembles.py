"""Ensembles that nobody declared: what the best configuration is chosen from beside what is declared.

They lie on the disk as declared ones do (see `workflows.model.ensemble`): every ensemble of declared experiments counts
that is there, whoever asked for it, as long as its members are what they were. Those of up to so many experiments, as
the dataset declares, are made by whoever asks for them; a choice alone predicts nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import ENSEMBLES, Experiment, Roots
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import complete_summaries
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, PredictionError, SummaryError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.model.ensemble import MadeEnsemble, ensemble_name, make_ensembles
from nnunet_assets.workflows.results.compare import declared_summaries
from nnunet_assets.workflows.results.export_tables import export_tables

MAX_ENSEMBLES = 60
"""That are made of a dataset's experiments: pairs of eleven."""

NOTHING = (
    "There is no ensemble to make: it takes two experiments with complete summaries, of the same data and splits, that "
    "share a fold and are not declared as one."
)

Members = Mapping[str, tuple[Experiment, ...]]
"""By the ensemble's name."""


@dataclass(frozen=True)
class EnsemblesThere:
    """Ensembles on the disk that nobody declared.

    Attributes:
        summaries: Of those that are whole, and of their members as these are now.
        members: Of these, in the order of their names.
        outdated: The others, with their members.
        reasons: Of these, by name, what is wrong.
    """

    summaries: tuple[ScoredSummary, ...]
    members: Mapping[Experiment, tuple[Experiment, ...]]
    outdated: Mapping[Experiment, tuple[Experiment, ...]]
    reasons: Mapping[str, str]

    def missing(self, wanted: Members) -> dict[str, tuple[Experiment, ...]]:
        """Returns what is not there of what is wanted; one that is outdated keeps its name."""
        there = {frozenset(of) for of in self.members.values()}
        names = {frozenset(of): ensemble.configuration for ensemble, of in self.outdated.items()}
        return {names.get(frozenset(of), name): of for name, of in wanted.items() if frozenset(of) not in there}


@dataclass(frozen=True)
class FoundEnsembles:
    """The ensembles that were wanted.

    Attributes:
        members: Of those that are there now, by name.
        made: Those of them that were made or completed now.
        digests: By name, of what they score.
        n_predicted: Cases whose probabilities were predicted now.
        unfit: Experiments that can be no member, and ensembles whose members do not agree, with the reason.
        nothing_because: Why none was wanted, in a sentence; empty: some were.
        notes: For whoever reads a choice, why an ensemble is missing; no case is named in them.
    """

    members: Members = field(default_factory=dict)
    made: Mapping[str, MadeEnsemble] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    n_predicted: int = 0
    unfit: Mapping[str, str] = field(default_factory=dict)
    nothing_because: str = ""
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        """Returns in one line what is there: `3 ensembles, 1 made now from 24 predicted cases`."""
        if self.nothing_because:
            return self.nothing_because
        n, n_made = len(self.members), len(self.made)
        now = f", {n_made} made now from {self.n_predicted} predicted cases" if n_made else ", all there already"
        unfit = f"; not made with or of {first_offenders([*self.unfit])}" if self.unfit else ""
        return f"{n} ensemble{'' if n == 1 else 's'}{now if n else ''}{unfit}"


def ensembles_there(roots: Roots, project: Project, dataset: str) -> EnsemblesThere:
    """Returns the ensembles on the disk that nobody declared, of declared experiments; one of the same members once.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose ensembles.
    """
    # nnU-Net's side of ensembles loads more than whoever only declares them has use for.
    from nnunet_assets.nnunet.ensembles.ensemble_fold import recorded_members

    by_name = {one.identity.name_in_dataset: one.identity for one in project.experiments_of(dataset)}
    seen = {frozenset(of) for of in project.members.values()}
    summaries: list[ScoredSummary] = []
    members: dict[Experiment, tuple[Experiment, ...]] = {}
    outdated: dict[Experiment, tuple[Experiment, ...]] = {}
    reasons: dict[str, str] = {}
    for folder in sorted((roots.results / dataset / ENSEMBLES).glob("[!.]*")):
        ensemble, names = Experiment.ensemble(dataset, folder.name), recorded_members(folder)
        of = tuple(by_name[name] for name in names if name in by_name)
        if ensemble in project.members or not of or len(of) < len(names) or frozenset(of) in seen:
            continue
        found, problems = complete_summaries(roots, {ensemble: shared_by_declaration(project, of)})
        if not found:
            outdated[ensemble] = of
            reasons |= problems
            continue
        seen.add(frozenset(of))
        summaries += found
        members[ensemble] = of
    return EnsemblesThere(tuple(summaries), members, outdated, reasons)


def shared_by_declaration(project: Project, members: Sequence[Experiment]) -> list[str]:
    """Returns the folds that all of some declared experiments train, in order."""
    configs = [config for config in project.experiments if config.identity in members]
    first, *others = [project.folds_of(config) for config in configs]
    return [fold for fold in first if all(fold in folds for folds in others)]


def wanted_ensembles(
    roots: Roots, project: Project, dataset: str, summaries: Sequence[ScoredSummary], max_members: int
) -> dict[str, tuple[Experiment, ...]]:
    """Returns the ensembles of experiments that may be compared with each other, but for those that are declared.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        summaries: The complete ones of the dataset; of experiments, and others that are passed over.
        max_members: Of each ensemble.

    Raises:
        ConfigError: They would be too many.
    """
    singles = _comparable([one for one in summaries if not one.experiment.is_ensemble])
    declared = {frozenset(of) for of in project.members.values()}
    wanted = {
        _name(roots, project, of): of
        for n in range(2, min(max_members, len(singles)) + 1)
        for of in combinations(singles, n)
        if frozenset(of) not in declared and shared_by_declaration(project, of)
    }
    if len(wanted) > MAX_ENSEMBLES:
        raise ConfigError(
            f"{len(singles)} experiments of {dataset} have {len(wanted)} ensembles of up to {max_members}, and each "
            f"has its validation cases predicted; at most {MAX_ENSEMBLES} are made. Ask for fewer members "
            "(`found_ensembles: {max_members: ...}` of the dataset, 1 for none), and declare the ensembles that matter."
        )
    return wanted


def make_found_ensembles(
    settings: Settings,
    project: Project,
    dataset: str,
    progress: Progress = SILENT,
    *,
    max_members: int | None = None,
    makes_summaries: bool = False,
    environment: Mapping[str, str] | None = None,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> FoundEnsembles:
    """Makes the ensembles of a dataset's experiments that are missing, or of which a member changed.

    Args:
        settings: Of the project.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told what is predicted and made, and why something cannot be.
        max_members: Of each ensemble; None: as the dataset declares.
        makes_summaries: Whether those of experiments that are missing, or older than a fold, are made first.
        environment: Of the processes; None: the settings' own.
        destination: Where the runs of their summaries are brought up to date, with their tables; None: nowhere.
        dagster_run_id: The Dagster run that makes them; None where none does.

    Raises:
        ConfigError: The dataset is not declared; or the ensembles would be too many, and somebody asked for them.
        PredictionError: Memory or disk do not suffice.
        NnunetAssetsError: A process ended without its result.
    """
    config, roots = project.dataset(dataset), settings.roots
    most = config.ensembles_to_find.max_members if max_members is None else max_members
    if most < 2:
        return FoundEnsembles(nothing_because="Only ensembles that are declared are wanted (max_members: 1).")
    summaries, _ = declared_summaries(roots, project, dataset, progress if makes_summaries else None)
    try:
        wanted = wanted_ensembles(roots, project, dataset, summaries, most)
    except ConfigError as error:
        if max_members is not None or config.found_ensembles is not None:
            raise
        return FoundEnsembles(nothing_because=str(error), notes=(str(error),))
    if not wanted:
        return FoundEnsembles(nothing_because=NOTHING)
    there = ensembles_there(roots, project, dataset)
    known = {frozenset(of): ensemble.configuration for ensemble, of in there.members.items()}
    missing = there.missing(wanted)
    known |= {frozenset(of): name for name, of in missing.items()}
    found = _Found(settings, dataset, config.ensembles_to_find.device, environment, destination, dagster_run_id)
    for folds, of_folds in _by_folds(project, missing):
        found.make(of_folds, folds, progress)
    members = {known.get(frozenset(of), name): of for name, of in wanted.items()}
    digests = {one.experiment.configuration: json_sha256(one.to_json()) for one in there.summaries}
    digests |= {name: one.made.digest for name, one in found.made.items()}
    return FoundEnsembles(
        members={name: of for name, of in members.items() if name in digests},
        made=found.made,
        digests={name: digest for name, digest in digests.items() if name in members},
        n_predicted=found.n_predicted,
        unfit=found.unfit,
        notes=tuple(
            f"No ensemble with {name} is made: its validation cases cannot be predicted beside the others'. The log of "
            "found_ensembles says why, and `nnunet-assets best`."
            if name in {one.name_in_dataset for of in wanted.values() for one in of}
            else f"{name} is not made: its members do not agree. The log of found_ensembles says where."
            for name in found.unfit
        ),
    )


@dataclass
class _Found:
    """What is made, and what came of it."""

    settings: Settings
    dataset: str
    device: str
    environment: Mapping[str, str] | None
    destination: Destination | None
    dagster_run_id: str | None
    made: dict[str, MadeEnsemble] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    n_predicted: int = 0

    def make(self, wanted: Members, folds: Sequence[str], progress: Progress) -> None:
        """Makes ensembles of the same folds together, as far as they can be made."""
        from nnunet_assets.nnunet.ensembles.possible import possible_ensembles

        possible = possible_ensembles(self.settings.roots, wanted, folds)
        unlike = {f"{ENSEMBLES}/{name}": reason for name, reason in possible.unlike.items()}
        for name, reason in {**possible.unfit, **unlike}.items():
            progress.warn(f"{name}: {reason}")
            self.unfit[name] = reason
        if not possible.members:
            return
        names, n = [*possible.members], len({one for of in possible.members.values() for one in of})
        progress.say(f"Ensembles of {n} experiments of {self.dataset} are made: {first_offenders(names)}.")
        try:
            made = make_ensembles(
                self.settings,
                self.dataset,
                possible.members,
                progress,
                folds=folds,
                device=self.device,
                environment=self.environment,
                destination=self.destination,
                dagster_run_id=self.dagster_run_id,
            )
        except PredictionError as error:
            raise PredictionError(f"{error} With `max_members` 1 no ensemble is looked for.") from error
        if self.destination:
            for one in made.values():
                export_tables(self.settings.roots, one.ensemble, self.destination)
        self.made |= made
        # What is made together has each case predicted once.
        self.n_predicted += max(one.n_predicted for one in made.values())


def _by_folds(project: Project, wanted: Members) -> Iterator[tuple[tuple[str, ...], Members]]:
    """Yields the ensembles that have the same folds together: each is made of all folds that its members share."""
    folds = {name: tuple(shared_by_declaration(project, of)) for name, of in wanted.items()}
    for shared in dict.fromkeys(folds.values()):
        yield shared, {name: of for name, of in wanted.items() if folds[name] == shared}


def _comparable(summaries: Sequence[ScoredSummary]) -> list[Experiment]:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment, compatible

    try:
        names = {one.name for one in compatible([ComparedExperiment.of(one) for one in summaries])[0]}
    except SummaryError:  # no two of them may be compared, which whoever chooses from them is told
        return []
    return [one.experiment for one in summaries if one.experiment.name_in_dataset in names]


def _name(roots: Roots, project: Project, members: Sequence[Experiment]) -> str:
    """Returns the name of an ensemble, which none of other members has, be it declared or on the disk."""
    from nnunet_assets.nnunet.ensembles.ensemble_fold import recorded_members

    name, dataset = ensemble_name(members), members[0].dataset
    names = sorted(one.name_in_dataset for one in members)
    ensemble = Experiment.ensemble(dataset, name)
    is_taken = ensemble in project.members or recorded_members(ensemble.model_folder(roots)) not in ([], names)
    return f"{name[:50]}-{json_sha256(names)[:8]}" if is_taken else name
