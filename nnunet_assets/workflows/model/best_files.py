"""The choice of a dataset's configuration, written for people and programs, and shown in MLflow.

On disk: `nnUNet_results/DATASET/nnunet_assets/`, beside the comparison: `best_configuration.json` (all of it), its
candidates as `.csv`, `.parquet`, `.tex` and `.md`, and `postprocessing.json` and `.pkl`, the steps that the chosen one
takes, as nnU-Net has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, comparison_folder
from nnunet_assets.core.model.postprocessing_steps import POSTPROCESSING_FILE, steps_to_json
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.plans.inference_files import postprocessing_pickle
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import best_configuration_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.model.found_ensembles import make_found_ensembles
from nnunet_assets.workflows.model.inference_notes import remove_inference_notes, write_inference_notes

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration

STEM = "best_configuration"
STEPS_PICKLE = "postprocessing.pkl"


@dataclass(frozen=True)
class MadeBestConfiguration:
    """A choice that was made now, and its files.

    Attributes:
        found: What it says.
        digest: Names its content.
        folder: Where its files lie.
        inference_files: nnU-Net's own notes that were written.
        no_inference_files: Why none were, in a sentence; empty: they were.
        tracked: Its MLflow run; nothing where nobody asked for one.
    """

    found: "BestConfiguration"
    digest: str
    folder: Path
    inference_files: tuple[Path, ...]
    no_inference_files: str
    tracked: TrackedRun = field(default_factory=TrackedRun)

    @property
    def file(self) -> Path:
        """All of it."""
        return self.folder / f"{STEM}.json"

    @property
    def files(self) -> list[Path]:
        """What others read; nnU-Net's notes, which have paths in them, stay where they are."""
        return [*sorted(self.folder.glob(f"{STEM}.*")), self.folder / POSTPROCESSING_FILE]


def make_best_configuration(
    settings: Settings,
    project: Project,
    dataset: str,
    progress: Progress = SILENT,
    *,
    makes_summaries: bool = False,
    makes_ensembles: bool = False,
    with_postprocessing: bool = True,
    max_members: int | None = None,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> MadeBestConfiguration:
    """Chooses as `find_best_configuration` does, and writes the files.

    Args:
        settings: Of the project.
        project: What is declared.
        dataset: Whose experiments.
        progress: As for `find_best_configuration`.
        makes_summaries: Likewise.
        makes_ensembles: Whether those that nobody declares are made first, where they are missing.
        with_postprocessing: As for `find_best_configuration`.
        max_members: Likewise.
        destination: Where the choice's run is brought up to date; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        NnunetAssetsError: As `make_found_ensembles` and `find_best_configuration`. The files of an earlier choice are
            removed where there is nothing to choose from any more.
    """
    # Before the lock: it may take hours, and refreshes choose meanwhile.
    made_ensembles = (
        make_found_ensembles(
            settings, project, dataset, progress, max_members=max_members, makes_summaries=makes_summaries
        )
        if makes_ensembles
        else None
    )
    folder = comparison_folder(settings.roots, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    # Two experiments' refreshes may end together: who writes last must have read last.
    with kernel_lock(folder / f".{STEM}.lock"):
        try:
            found = find_best_configuration(
                settings,
                project,
                dataset,
                progress,
                makes_summaries=makes_summaries,
                with_postprocessing=with_postprocessing,
                max_members=max_members,
                found=made_ensembles,
            )
        except SummaryError:
            remove_inference_notes(settings, dataset, [one.identity for one in project.experiments_of(dataset)])
            for file in (*folder.glob(f"{STEM}.*"), folder / POSTPROCESSING_FILE, folder / STEPS_PICKLE):
                file.unlink(missing_ok=True)
            raise
        places = settings.places
        shown = replace(found, left_out=places.hidden_in(found.left_out), notes=tuple(map(places.hidden, found.notes)))
        made = _written(settings, project, shown, folder)
    if destination is None:
        return made
    run = best_configuration_run(shown)
    return replace(made, tracked=bring_up_to_date(destination, run, made.files, dagster_run_id=dagster_run_id))


def _written(settings: Settings, project: Project, found: "BestConfiguration", folder: Path) -> MadeBestConfiguration:
    from nnunet_assets.reports.tables import best_configuration_rows as tables
    from nnunet_assets.reports.tables.sealed_files import sealed_file

    steps = found.chosen_candidate.steps
    contents = {
        f"{STEM}.csv": tables.to_csv(found).encode(),
        f"{STEM}.parquet": tables.to_parquet(found),
        f"{STEM}.tex": tables.to_latex(found).encode(),
        f"{STEM}.md": tables.to_markdown(found).encode(),
        STEPS_PICKLE: postprocessing_pickle(steps),
    }
    content = found.to_json()
    sealing = Sealing.of_content(found.dataset, content)
    for name, table in contents.items():
        write_atomically(folder / name, sealed_file(table, name, sealing))
    write_json_atomically(folder / POSTPROCESSING_FILE, steps_to_json(steps))
    experiments, folds = _experiments(project, found), _folds(project, found)
    notes, why_not = write_inference_notes(settings, found, experiments, folds, folder / STEPS_PICKLE)
    # Last: who reads it finds the rest.
    write_keeping_earlier(folder / f"{STEM}.json", content)
    return MadeBestConfiguration(found, json_sha256(content), folder, tuple(notes), why_not)


def _experiments(project: Project, found: "BestConfiguration") -> Mapping[str, Experiment]:
    declared = (config.identity for config in project.experiments_of(found.dataset))
    return {one.name_in_dataset: one for one in declared}


def _folds(project: Project, found: "BestConfiguration") -> list[str]:
    """Returns the folds that the members of the chosen candidate have in common."""
    names = set(found.chosen_candidate.members)
    configs = [one for one in project.experiments_of(found.dataset) if one.identity.name_in_dataset in names]
    folds = [project.folds_of(config) for config in configs]
    return [fold for fold in folds[0] if all(fold in others for others in folds)]
