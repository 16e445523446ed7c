"""The value of each asset by its key: what it made, read from the disk when somebody asks for it, and nothing else.

Each reader refuses what is missing or damaged by name. What is heavy (images, checkpoints, tables of cases) stays where
it lies: a value knows its files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, DEFAULT_PLANS, FULL_FOLD, Experiment, comparison_folder
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.splits.splits import Split
from nnunet_assets.core.splits.splits_files import readable_splits
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError, DatasetError, FoldError, PlanningError, SummaryError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination

TABLE_FILES, FIGURES_FOLDER = ("cv_table.csv", "cv_table.parquet", "cv_table.tex", "cv_table.md"), "figures"


@dataclass(frozen=True)
class AssetPlace:
    """An asset of a project.

    Attributes:
        settings: Of the project.
        key: The components of its key.
        destination: Where the project's MLflow runs and registered models are; None: as its settings say.
        declared: What the project declares, where that was read before; None: it is read where it is needed.
    """

    settings: Settings
    key: Sequence[str]
    destination: Destination | None = None
    declared: Project | None = None

    @property
    def name(self) -> str:
        """What it is called within its dataset or experiment."""
        return self.key[-1]

    @property
    def dataset(self) -> str:
        """Whose it is."""
        return self.key[0]

    @property
    def project(self) -> Project:
        """What is declared."""
        return self.declared or read_project(self.settings.project)

    @property
    def experiment(self) -> Experiment:
        """Of which experiment it is, or of which ensemble.

        Raises:
            ConfigError: It is one of a dataset.
        """
        return Experiment.of_key_prefix(self.key[:-1])


def is_readable(key: Sequence[str]) -> bool:
    """Tells whether an asset's key is that of one of this package's."""
    return len(key) > 1 and key[-1] in _READERS


def read_value(asset: AssetPlace) -> Any:
    """Returns what an asset made.

    Raises:
        NnunetAssetsError: It is not there, or damaged.
    """
    if not is_readable(asset.key):
        raise ConfigError(f"{'/'.join(asset.key)} is no asset of this package: nothing is known of its files.")
    return _READERS[asset.name](asset)


def read_fold(asset: AssetPlace, fold: str) -> FoldResult:
    """Returns what one fold of an experiment scored, and what it was made from.

    Raises:
        FoldError: It is not finished.
        SummaryError: Its scores cannot be read.
    """
    from nnunet_assets.nnunet.results.results import result_of

    return FoldResult.of(result_of(_finished(asset.experiment.fold_folder(asset.settings.roots, fold))))


def read_folds(asset: AssetPlace, folds: Sequence[str] | None = None) -> dict[str, FoldResult]:
    """Returns those of the folds that are finished; None: all that are there.

    Raises:
        FoldError: None is.
        SummaryError: The scores of one cannot be read.
    """
    from nnunet_assets.nnunet.results.results import fold_results_in

    model = asset.experiment.model_folder(asset.settings.roots)
    names = sorted(path.name for path in model.glob("fold_*")) if folds is None else folds
    found = {
        one.fold: FoldResult.of(one) for one in fold_results_in(model, [name for name in names if name != FULL_FOLD])
    }
    if not found:
        raise FoldError(f"No fold in {model} is finished. Materialize {asset.name} first.")
    return found


def _finished(folder: Path) -> FinishedFold:
    found = FinishedFold.read(folder)
    if found is None:
        raise FoldError(f"{folder} holds no finished fold. Materialize it first.")
    return found


def _raw_dataset(asset: AssetPlace) -> Any:
    from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
    from nnunet_assets.nnunet.prepared.raw_records import read_raw

    return read_raw(PreparedFolder(asset.settings.roots, asset.dataset))


def _case_list(asset: AssetPlace) -> list[str]:
    return list(_raw_dataset(asset).cases)


def _splits(asset: AssetPlace) -> list[Split]:
    folder = asset.settings.roots.preprocessed / asset.dataset
    splits = readable_splits(folder)
    if splits is None:
        raise DatasetError(f"{folder} has no splits that nnU-Net could read. Materialize splits first.")
    return splits


def _plans(asset: AssetPlace) -> Any:
    from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder

    name = asset.key[1] if len(asset.key) > 2 else DEFAULT_PLANS
    plans = PreparedFolder(asset.settings.roots, asset.dataset).plans(name)
    if plans.content is None:
        raise PlanningError(f"There is no {plans.file}. Materialize preprocessed_plans first.")
    return plans


def _full_model(asset: AssetPlace) -> FinishedFold:
    return _finished(asset.experiment.fold_folder(asset.settings.roots, FULL_FOLD))


def _summary(asset: AssetPlace) -> CVSummary:
    return CVSummary.of(read_summary(asset.experiment.summary_folder(asset.settings.roots) / CV_SUMMARY_FILE))


def _tables(asset: AssetPlace) -> dict[str, Path]:
    folder = asset.experiment.summary_folder(asset.settings.roots)
    return _there({Path(name).suffix[1:]: folder / name for name in TABLE_FILES}, asset.name)


def _figures(asset: AssetPlace) -> dict[str, Path]:
    folder = asset.experiment.summary_folder(asset.settings.roots) / FIGURES_FOLDER
    files = {file.name: file for file in sorted(folder.glob("[!.]*")) if file.suffix in (".svg", ".png")}
    if not files:
        raise SummaryError(f"{folder} holds no figures. Materialize {asset.name} first.")
    return files


def _report(asset: AssetPlace) -> Path:
    from nnunet_assets.workflows.results.export_pages import EXPERIMENT_PAGE

    return _page(asset.experiment.summary_folder(asset.settings.roots) / EXPERIMENT_PAGE, asset.name)


def _dataset_report(asset: AssetPlace) -> Path:
    from nnunet_assets.workflows.results.export_pages import DATASET_PAGE

    return _page(comparison_folder(asset.settings.roots, asset.dataset) / DATASET_PAGE, asset.name)


def _page(file: Path, name: str) -> Path:
    return _there({"page": file}, name)["page"]


def _there(files: Mapping[str, Path], name: str) -> dict[str, Path]:
    missing = [str(file) for file in files.values() if not file.is_file()]
    if missing:
        raise SummaryError(f"{first_offenders(missing)}: not there. Materialize {name} first.")
    return dict(files)


def _evaluation(asset: AssetPlace) -> Any:
    from nnunet_assets.core.evaluation.evaluation_files import evaluation_folder
    from nnunet_assets.workflows.values.evaluation_values import read_case_evaluation

    return read_case_evaluation(evaluation_folder(asset.experiment.model_folder(asset.settings.roots)), asset.name)


def _test_predictions(asset: AssetPlace) -> Any:
    from nnunet_assets.workflows.values.evaluation_values import read_test_predictions

    return read_test_predictions(asset.settings.roots, asset.experiment)


def _comparison(asset: AssetPlace) -> Any:
    from nnunet_assets.core.comparison.comparison_files import COMPARISON_FILE, read_comparison

    return read_comparison(comparison_folder(asset.settings.roots, asset.dataset) / COMPARISON_FILE)


def _best_configuration(asset: AssetPlace) -> Any:
    from nnunet_assets.core.selection.best_configuration_files import BEST_CONFIGURATION_FILE, read_best_configuration

    return read_best_configuration(comparison_folder(asset.settings.roots, asset.dataset) / BEST_CONFIGURATION_FILE)


def _found_ensembles(asset: AssetPlace) -> dict[str, CVSummary]:
    from nnunet_assets.workflows.model.found_ensembles import ensembles_there

    found = ensembles_there(asset.settings.roots, asset.project, asset.dataset)
    return {summary.experiment.configuration: CVSummary.of(summary) for summary in found.summaries}


def _search(asset: AssetPlace) -> Any:
    from nnunet_assets.workflows.search.status import search_status

    searches = asset.project.searches_of(asset.dataset)
    config = next((one for one in searches if list(one.identity.key_prefix) == list(asset.key[:-1])), None)
    if config is None:
        raise ConfigError(f"{'/'.join(asset.key)} is not declared in {asset.settings.project} any more.")
    return search_status(asset.settings, config)


def _registered(asset: AssetPlace) -> Any:
    from nnunet_assets.workflows.values.registered_value import newest_version

    return newest_version(asset.settings.project, asset.key, asset.destination or Destination.of(asset.settings))


_READERS: Mapping[str, Callable[[AssetPlace], Any]] = {
    "raw_dataset": _raw_dataset,
    "case_list": _case_list,
    "splits": _splits,
    "preprocessed_plans": _plans,
    "fold_model": read_folds,
    "full_model": _full_model,
    "ensemble": read_folds,
    "cv_summary": _summary,
    "cv_tables": _tables,
    "cv_figures": _figures,
    "cv_report": _report,
    "cv_evaluation": _evaluation,
    "test_predictions": _test_predictions,
    "comparison": _comparison,
    "best_configuration": _best_configuration,
    "found_ensembles": _found_ensembles,
    "dataset_report": _dataset_report,
    "registered_model": _registered,
    "search": _search,
}
