"""What a process that Dagster started for a run loads: the assets of that run, not those of a thousand experiments.

Each experiment that is loaded costs 10 to 15 ms of processor time, and each run is a process. It needs the assets that
it makes, and of those before them no more than whether they have partitions.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

import dagster as dg

from nnunet_assets.assets import dataset_definitions, ensemble_definitions, experiment_definitions
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.project import Project
from nnunet_assets.jobs import (
    ensemble_job,
    ensemble_job_name,
    experiment_job_names,
    experiment_jobs,
    preparation_job,
    preparation_name,
)
from nnunet_assets.sensors import build_nightly_report

_OF_DAGSTER = "__"
"""How Dagster's own names for jobs begin: that of all assets, and those that it makes of schedules."""


class _Deferred:
    """An object of Dagster's that is loaded when it is asked for anything that it lacks: for its state, that is."""

    def __init__(self, load: Callable[[], object]) -> None:
        self._load = load

    def __getattr__(self, name: str) -> Any:
        """Takes over the state of the loaded object; Python asks this only for what is not there."""
        if name.startswith("__"):
            raise AttributeError(name)
        vars(self).update(vars(self._load()))
        return object.__getattribute__(self, name)


class _DeferredJob(_Deferred, dg.JobDefinition):
    """A job of all assets: a run's process looks it up first, and then takes what the run selects of it instead."""


class RunRepository(_Deferred, dg.RepositoryDefinition):
    """A repository that loads what a job needs, and everything as soon as it is asked for anything else.

    Dagster asks it for one job, with what a run selects of it, in a run's process. The code server, and all others,
    ask for more.
    """

    def __init__(
        self, project: Project, surroundings: dg.Definitions, load_everything: Callable[[], dg.Definitions]
    ) -> None:
        """Makes a repository that has loaded nothing.

        Args:
            project: The declarations; plain ones, so that they say all that there is.
            surroundings: What assets need beside them: resources and an executor.
            load_everything: Returns the definitions of the whole project.
        """
        _Deferred.__init__(self, self._everything)
        self._project = project
        self._surroundings = surroundings
        self._load_everything = load_everything
        self._is_whole = False

    def _everything(self) -> dg.RepositoryDefinition:
        self._is_whole = True
        return self._load_everything().get_repository_def()

    @property
    def repository_load_data(self) -> None:
        """What Dagster keeps of the load of components that need it: plain declarations do not."""
        return None

    def get_maybe_subset_job_def(
        self,
        job_name: str,
        op_selection: Iterable[str] | None = None,
        asset_selection: Set[dg.AssetKey] | None = None,
        asset_check_selection: Set[dg.AssetCheckKey] | None = None,
    ) -> dg.JobDefinition:
        """Returns a job, or the part of it that a run selects."""
        keys = {*(asset_selection or ()), *(check.asset_key for check in asset_check_selection or ())}
        whole = super().get_maybe_subset_job_def
        if not self._is_whole and not keys and not op_selection and job_name.startswith(_OF_DAGSTER):
            return _DeferredJob(lambda: whole(job_name))
        part = None if self._is_whole else self._part(job_name, keys)
        get = part.get_maybe_subset_job_def if part else whole
        job: dg.JobDefinition = get(job_name, op_selection, asset_selection, asset_check_selection)
        return job

    def _part(self, job_name: str, keys: Set[dg.AssetKey]) -> dg.RepositoryDefinition | None:
        """Returns a repository with the job and the assets that it needs; None: nothing here says what these are."""
        wanted = set(self._wanted(job_name, keys))
        datasets = [config for config in self._project.datasets if config.dataset in wanted]
        experiments = [config for config in self._project.experiments if config.identity in wanted]
        ensembles = [config for config in self._project.ensembles if config.identity in wanted]
        definitions = dg.Definitions.merge(
            *(dataset_definitions(self._project, config) for config in datasets),
            *(experiment_definitions(self._project, config) for config in experiments),
            *(ensemble_definitions(self._project, config) for config in ensembles),
            dg.Definitions(
                jobs=[
                    *(preparation_job(self._project, config) for config in datasets),
                    *(job for config in experiments for job in experiment_jobs(config)),
                    *map(ensemble_job, ensembles),
                ],
                # Dagster makes a job of a schedule, and each run of the night is one of it.
                schedules=[build_nightly_report([config.identity for config in experiments])] if experiments else [],
            ),
            self._surroundings,
        )
        part = definitions.get_repository_def()
        return part if wanted and part.has_job(job_name) and keys <= part.assets_defs_by_key.keys() else None

    def _wanted(self, job_name: str, keys: Set[dg.AssetKey]) -> Iterator[Experiment | str]:
        """Yields the experiments, ensembles and datasets of a job of theirs, and those of the keys of any other."""
        prefixes = {tuple(key.path[:-1]) for key in keys}
        for ensemble in self._project.ensembles:
            if ensemble.identity.key_prefix in prefixes or job_name == ensemble_job_name(ensemble):
                yield ensemble.identity
                prefixes.discard(ensemble.identity.key_prefix)
                # The folds of its members have partitions, which its own asset must know.
                yield from self._project.members[ensemble.identity]
        for experiment in self._project.experiments:
            if experiment.identity.key_prefix in prefixes or job_name in experiment_job_names(experiment):
                yield experiment.identity
                prefixes.discard(experiment.identity.key_prefix)
                # The folds of the stage before a cascade's have partitions, which the cascade's must know.
                if stage := self._project.previous_stage(experiment):
                    yield stage
        for dataset in self._project.datasets:
            if any(prefix[:1] == (dataset.dataset,) for prefix in prefixes) or job_name == preparation_name(dataset):
                yield dataset.dataset
