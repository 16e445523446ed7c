"""The winner of a search becomes an ordinary experiment: a file that declares it, under the name of its trial.

Its fold that chose it is trained already, by the search. What the choice is worth, the other folds say.
"""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER
from nnunet_assets.core.search.report import SearchReport, TrialReport
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.declarations.yaml_files.documents import EXPERIMENT_TYPE
from nnunet_assets.declarations.yaml_files.written import declaration_text
from nnunet_assets.errors import ConfigError, SearchError
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.search.status import search_status


@dataclass(frozen=True)
class AdoptedTrial:
    """A trial that is an experiment.

    Attributes:
        config: The experiment.
        report: The search, as it was when the trial was taken.
        chosen: The trial.
        file: That declares it; None: it was declared already.
    """

    config: ExperimentConfig
    report: SearchReport
    chosen: TrialReport
    file: Path | None


@dataclass(frozen=True)
class AdoptedScores:
    """What an adopted trial scores, with and without the fold that chose it.

    Attributes:
        title: Of the experiment.
        chosen_on: The fold that chose it.
        n_trials: Among how many it was chosen.
        n_folds: Finished ones.
        n_wanted: All of its folds.
        dice: Mean Dice of the validation cases of its finished folds, pooled.
        dice_elsewhere: The same without the fold that chose it; None: no other is finished.
    """

    title: str
    chosen_on: str
    n_trials: int
    n_folds: int
    n_wanted: int
    dice: float | None
    dice_elsewhere: float | None

    def __str__(self) -> str:
        """Returns it as a sentence."""
        number = "undefined" if self.dice is None else f"{self.dice:.4f}"
        elsewhere = "no other fold is finished" if self.dice_elsewhere is None else f"{self.dice_elsewhere:.4f}"
        return (
            f"{self.title}: Dice {number} over {self.n_folds} of {self.n_wanted} folds; over those that chose nothing "
            f"(without {self.chosen_on}): {elsewhere}. It was chosen among {self.n_trials} trials."
        )


def adopt_trial(settings: Settings, project: Project, config: SearchConfig, number: int | None = None) -> AdoptedTrial:
    """Writes the declaration of an experiment that is a trial of a search, with all folds of its dataset.

    Args:
        settings: Of the project.
        project: What it declares.
        config: The search.
        number: Of the trial; None: the best one of those that were trained to their end.

    Raises:
        SearchError: There is no such trial, or none that was trained to its end.
        ConfigError: The file cannot be written as it would have to be.
    """
    report = search_status(settings, config)
    chosen = _chosen(report, number)
    trial = config.trial(chosen.trial.number, chosen.trial.point)
    declared = next((one for one in project.experiments if one.identity == trial.identity), None)
    if declared and declared.training_hash() != trial.training_hash():
        raise ConfigError(
            f"{trial.identity.title} is declared already, with other settings than those of trial "
            f"{chosen.trial.number}. Give that variant another name."
        )
    if declared:
        return AdoptedTrial(declared, report, chosen, None)
    file = project.root / EXPERIMENTS_FOLDER / chosen.name / "defs.yaml"
    if file.parent.exists():
        raise ConfigError(f"{file.parent} is there already. Move it away, or declare {trial.identity.title} by hand.")
    write_atomically(file, _text(config, report, chosen, trial).encode())
    try:
        found = next(one for one in read_project(project.root).experiments if one.identity == trial.identity)
    except (ConfigError, StopIteration) as error:
        file.unlink()
        file.parent.rmdir()
        raise ConfigError(f"The project cannot declare {trial.identity.title} in {file}: {error}") from error
    return AdoptedTrial(found, report, chosen, file)


def adopted_scores(
    settings: Settings, project: Project, config: SearchConfig, report: SearchReport
) -> list[AdoptedScores]:
    """Returns what the experiments score that are trials of a search; nothing of those without a finished fold.

    Args:
        settings: Of the project.
        project: What it declares.
        config: The search.
        report: The search as it is, among whose trials they were chosen.

    Raises:
        SummaryError: As `summarize`.
    """
    trials = [config.trial(one.trial.number, one.trial.point) for one in report.trials]
    hashes = {trial.identity: trial.training_hash() for trial in trials}
    found = []
    for experiment in project.experiments_of(config.of.dataset):
        if hashes.get(experiment.identity) != experiment.training_hash():
            continue
        folds = project.folds_of(experiment)
        results = collect_fold_results(settings.roots, experiment.identity, folds)
        elsewhere = [one for one in results if one.fold != config.fold_key]
        if not results:
            continue
        means = [
            summarize(experiment.identity, folds, some).foreground.dice.pooled.mean if some else None
            for some in (results, elsewhere)
        ]
        found.append(
            AdoptedScores(
                experiment.identity.title, config.fold_key, len(trials), len(results), len(folds), means[0], means[1]
            )
        )
    return found


def _chosen(report: SearchReport, number: int | None) -> TrialReport:
    if number is None:
        finished = [one for one in report.ranked if one.trial.state == "finished"]
        if not finished:
            raise SearchError(
                f"{report.title}: none of its {len(report.trials)} trials was trained to its end, so that none is the "
                f"winner yet. `nnunet-assets search run {report.name}` goes on."
            )
        return finished[0]
    found = next((one for one in report.trials if one.trial.number == number), None)
    if found is None:
        raise SearchError(f"{report.title} has no trial {number}. It has 0 to {len(report.trials) - 1}.")
    return found


def _text(config: SearchConfig, report: SearchReport, chosen: TrialReport, trial: ExperimentConfig) -> str:
    n_epochs, score = chosen.curve.last or (0, float("nan"))
    remark = (
        f"Trial {chosen.trial.number} of the search {config.name}: pseudo Dice {score:.4f} after "
        f"{count_text(n_epochs, 'epoch')} on {config.fold_key},\n"
        f"chosen among {len(report.trials)} trials. That fold chose it; the others say what it is worth."
    )
    skipped = {"folds", "description"}
    attributes = trial.model_dump(exclude_defaults=True, exclude=skipped, by_alias=True, mode="json")
    return declaration_text(EXPERIMENT_TYPE, {**attributes, "description": remark.replace("\n", " ")}, remark)
