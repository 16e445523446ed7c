"""The model that `best_configuration` chose for a dataset becomes a version in MLflow's registry."""

from dataclasses import replace

from nnunet_assets.core.files.layout import ENSEMBLES, Experiment
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.registry.gate import judge_cross_validation
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.model.about import with_inputs
from nnunet_assets.workflows.model.selected import SelectedModel, selected_model
from nnunet_assets.workflows.registry.register import ModelToRegister, Registered, judge_inputs, register_model
from nnunet_assets.workflows.registry.round_trip import cases_by_turns

WITHOUT_STEPS = (
    "The scores by which it is compared with other versions are those before its postprocessing, which it takes only "
    "where that gains."
)


def register_selected(
    settings: Settings,
    project: Project,
    config: DatasetConfig,
    destination: Destination,
    *,
    name: str | None = None,
    progress: Progress = LOGGED,
    dagster_run_id: str | None = None,
) -> Registered:
    """Registers what was chosen last, with its expected Dice and how it was chosen.

    Args:
        settings: Of the project.
        project: What is declared.
        config: Of the dataset.
        destination: Where MLflow is.
        name: Of the model; None: as declared.
        progress: Told what happens.
        dagster_run_id: The Dagster run that registers; None where none does.

    Raises:
        ConfigError: No name is declared.
        NnunetAssetsError: Nothing was chosen, or what was chosen changed since, or the registry does not answer.
    """
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

    wanted = name or config.registered_as
    if wanted is None:
        raise ConfigError(
            f"{config.dataset} does not say under which name its best configuration is registered. Add `register: "
            "NAME` to its declaration, or give a name."
        )
    selected = selected_model(settings, project, config.dataset)
    scored = _scored(selected)
    summary = read_current_summary(settings.roots, scored)
    run = bring_up_to_date(destination, summary_run(scored, summary), dagster_run_id=dagster_run_id)
    steps = (WITHOUT_STEPS,) if selected.model.postprocessing else ()
    about = replace(
        selected.about,
        n_cases=summary.n_cases,
        intended_use=config.intended_use,
        licence=config.licence,
        notes=(*selected.about.notes, *steps),
    )
    model = ModelToRegister(
        name=wanted,
        usable=selected.model,
        about=with_inputs(about, selected.model.members),
        dataset=config.dataset,
        run_id=run.known_id(),
        scores=ComparedExperiment.of(summary),
        verdicts=(
            judge_cross_validation(selected.folds, summary.completed_folds, selected.folds),
            judge_inputs(summary),
        ),
        cases=cases_by_turns(settings, summary),
        margin=config.register_margin,
    )
    return register_model(settings, model, destination, progress)


def _scored(selected: SelectedModel) -> Experiment:
    """Returns that whose summary has the scores by which it was chosen."""
    prefix, _, name = selected.best.chosen_candidate.model.partition("/")
    if len(selected.experiments) > 1 and prefix == ENSEMBLES:
        return Experiment.ensemble(selected.experiments[0].dataset, name)
    return selected.experiments[0]
