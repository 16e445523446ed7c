"""What a declaration asks to register becomes a version: folds, an ensemble, or what was chosen for a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import ENSEMBLES, FULL_FOLD, Experiment
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.registry.gate import METRIC, judge_cross_validation
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.model.about import about_experiment, with_inputs
from nnunet_assets.workflows.model.best import scores_after_steps
from nnunet_assets.workflows.model.selected import SelectedModel, selected_model
from nnunet_assets.workflows.model.usable import usable_ensemble, usable_experiment
from nnunet_assets.workflows.registry.register import ModelToRegister, Registered, judge_inputs, register_model
from nnunet_assets.workflows.registry.round_trip import cases_by_turns
from nnunet_assets.workflows.results.predict import scored_test_set
from nnunet_assets.workflows.results.summarize import up_to_date_summary

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment


TEST_SET = "the test set"
"""In place of splits: each of its cases was predicted by all folds."""


@dataclass(frozen=True)
class _Found:
    """What a declaration stands for.

    Attributes:
        usable: What predicts.
        folds: Of the cross-validation that its numbers are of.
        summary: Of that cross-validation.
        about: What is known of it, but for what it was made from.
        device: For the round trip.
    """

    usable: UsableModel
    folds: Sequence[str]
    summary: ScoredSummary
    about: AboutModel
    device: str = "auto"


def register_declared(
    settings: Settings,
    project: Project,
    config: ExperimentConfig | EnsembleConfig | DatasetConfig,
    destination: Destination,
    *,
    name: str | None = None,
    progress: Progress = LOGGED,
    dagster_run_id: str | None = None,
) -> Registered:
    """Registers the folds of an experiment, its model of every case where it asks for that, or an ensemble.

    Of a dataset: what was chosen last, with its expected Dice and how it was chosen.

    Args:
        settings: Of the project.
        project: What is declared.
        config: Of the experiment, ensemble or dataset.
        destination: Where MLflow is.
        name: Of the model; None: as declared.
        progress: Told what happens.
        dagster_run_id: The Dagster run that registers; None where none does.

    Raises:
        ConfigError: No name is declared.
        NnunetAssetsError: Folds are unfinished, mixed or of other plans, nothing was chosen, what was chosen changed
            since, or the registry does not answer.
    """
    wanted = name or config.registered_as
    if wanted is None:
        raise ConfigError(
            f"{_nameless(config)} is registered. Add `register: NAME` to its declaration, or give a name."
        )
    if isinstance(config, DatasetConfig):
        found = _chosen(settings, project, config)
    else:
        found = _trained(settings, project, config, progress)
    summary = found.summary
    run = bring_up_to_date(destination, summary_run(summary.experiment, summary), dagster_run_id=dagster_run_id)
    about = replace(found.about, intended_use=config.intended_use, licence=config.licence)
    model = ModelToRegister(
        name=wanted,
        usable=found.usable,
        about=with_inputs(about, found.usable.members),
        dataset=config.dataset,
        run_id=run.known_id(),
        scores=_scores(settings, found.usable.postprocessing, summary, progress),
        verdicts=(
            judge_cross_validation(found.folds, summary.completed_folds, found.usable.first.folds),
            judge_inputs(summary),
        ),
        cases=cases_by_turns(settings, summary),
        margin=config.register_margin,
        device=found.device,
        test_scores=_test_scores(settings, project, config, found, progress),
    )
    return register_model(settings, model, destination, progress)


def _nameless(config: ExperimentConfig | EnsembleConfig | DatasetConfig) -> str:
    if isinstance(config, DatasetConfig):
        return f"{config.dataset} does not say under which name its best configuration"
    return f"{config.identity.title} does not say under which name it"


def _trained(
    settings: Settings, project: Project, config: ExperimentConfig | EnsembleConfig, progress: Progress
) -> _Found:
    identity = config.identity
    if isinstance(config, EnsembleConfig):
        folds: Sequence[str] = project.folds_of_ensemble(config)
        usable = usable_ensemble(settings, identity, project.members[identity], folds)
    else:
        folds = project.folds_of(config)
        usable = usable_experiment(settings, identity, (FULL_FOLD,) if config.register_full_model else folds)
    summary = up_to_date_summary(settings.roots, identity, folds, progress)
    is_full = FULL_FOLD in usable.first.folds
    about = about_experiment(settings.roots, identity, folds, progress, is_full_model=is_full)
    return _Found(usable, folds, summary, about, config.device)


def _chosen(settings: Settings, project: Project, config: DatasetConfig) -> _Found:
    selected = selected_model(settings, project, config.dataset)
    summary = read_current_summary(settings.roots, _scored(selected))
    return _Found(selected.model, selected.folds, summary, replace(selected.about, n_cases=summary.n_cases))


def _scores(
    settings: Settings, steps: Sequence[Step], summary: ScoredSummary, progress: Progress
) -> "ComparedExperiment | None":
    """Returns what the masks that the version gives score, by case; None: its postprocessed masks cannot be scored."""
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

    plain, notes = ComparedExperiment.of(summary), list[str]()
    if not steps:
        return plain
    found = scores_after_steps(settings, summary, progress=progress, notes=notes)
    if found is None:
        progress.warn(f"{' '.join(notes)} So nothing can be compared with what this version gives.")
        return None
    after = {label: {case: of[case] for case in plain.cases} for label, of in found.after(steps).items()}
    return replace(plain, scores={METRIC: after})


def _test_scores(
    settings: Settings,
    project: Project,
    config: ExperimentConfig | EnsembleConfig | DatasetConfig,
    found: _Found,
    progress: Progress,
) -> "ComparedExperiment | None":
    """Returns what the packed folds score on the declared test set; None: there is none, or they predicted none of it.

    The model of every case predicted no test set: what the folds score there is not its own.
    """
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

    if not isinstance(config, ExperimentConfig) or not config.test_set or config.register_full_model:
        return None
    dataset = project.dataset(config.dataset)
    scored = scored_test_set(settings, config.identity, found.folds, dataset, progress)
    if scored is None:
        return None
    labels = {label for by_label in scored.cases.values() for label in by_label}
    scores = {label: {case: of.get(label) for case, of in scored.cases.items()} for label in sorted(labels)}
    return ComparedExperiment(config.identity.name_in_dataset, scored.digest, TEST_SET, {METRIC: scores})


def _scored(selected: SelectedModel) -> Experiment:
    """Returns that whose summary has the scores by which it was chosen."""
    prefix, _, name = selected.best.chosen_candidate.model.partition("/")
    if len(selected.experiments) > 1 and prefix == ENSEMBLES:
        return Experiment.ensemble(selected.experiments[0].dataset, name)
    return selected.experiments[0]
