"""What this project's own results say of a fold, beside what a record elsewhere says of it.

The disk is what the other records are made from: a fold that was trained, validated or adopted again is another on the
disk before it is another in MLflow or in Dagster. A fold that is not on this disk may be on another one, and then
nothing is said of it.
"""

from collections.abc import Iterator
from pathlib import Path

from nnunet_assets.core.files.layout import MLFLOW_RUN_FILE, Experiment, FoldPlace, Roots
from nnunet_assets.core.fold.commit import scores_on_disk
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.statistics.estimate import SAME_SCORE
from nnunet_assets.core.summary.fold_means import FoldMeans, FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.results.adopted_places import place_of_fold
from nnunet_assets.nnunet.results.results import result_of
from nnunet_assets.nnunet.training.validation_series import series_of


def own_scores(roots: Roots, data: Path, experiment: Experiment, fold: str) -> str | None:
    """Returns the digest of the scores of a finished fold on this disk; None: there is none.

    Args:
        roots: Where this project's results lie.
        data: The project's data folder, which knows of folds that were adopted outside these.
    """
    return scores_on_disk(_folder(roots, data, experiment, fold))


def behind(roots: Roots, data: Path | None, summary: ScoredSummary | FoldMeansSummary, place: str) -> list[str]:
    """Returns a sentence for each fold of which a record does not have the last result.

    Args:
        roots: Where this project's results lie.
        data: As for `own_scores`; None: the record has to know of the results alone.
        summary: What the record says.
        place: Where the record lies.
    """
    experiment = summary.experiment
    if experiment is None:
        return []
    recorded: dict[str, ScoredFold | FoldMeans] = {fold.fold: fold for fold in summary.folds}
    return [
        sentence
        for fold in summary.expected_folds
        for sentence in _of_fold(_folder(roots, data, experiment, fold), experiment, recorded.get(fold), place)
    ]


def _folder(roots: Roots, data: Path | None, experiment: Experiment, fold: str) -> Path:
    folder = experiment.fold_folder(roots, fold)
    if folder.is_dir() or data is None:
        return folder
    return place_of_fold(data, experiment, fold) or folder


def _of_fold(
    folder: Path, experiment: Experiment, recorded: ScoredFold | FoldMeans | None, place: str
) -> Iterator[str]:
    if not folder.is_dir():
        return
    found = Fold.read(FoldPlace(experiment, folder.name, folder))
    fold = folder.name
    if found.finished is None:
        if found.state == "changed" and experiment.is_ensemble:
            yield (
                f"{fold} in {folder} is not finished any more: a member of the ensemble was trained or validated "
                "again, or a file of it was changed. Make the ensemble again."
            )
        elif found.state == "changed":
            yield (
                f"{fold} in {folder} was changed outside this project since it was finished: its files are not those "
                "of its COMMIT. Restore them, or adopt the fold again where it was adopted."
            )
        elif recorded and found.state in ("running", "interrupted", "trained"):
            yield f"{fold} is trained or validated anew in {folder}; {place} has an earlier result of it."
        elif recorded and (folder / SUMMARY_FILE).is_file():
            yield (
                f"{fold} in {folder} was not adopted, and {place} has a result of it that may be another. "
                f"`nnunet-assets adopt {folder}` takes it in."
            )
        return
    remedy = _sending(found)
    if recorded is None:
        yield f"{fold} is finished in {folder}, and {place} does not have it. {remedy} sends it."
        return
    try:
        own = result_of(found.finished)
    except SummaryError as error:
        yield f"Whether {place} has the last result of {fold} cannot be told: {error}"
        return
    if not _is_same(own, recorded, experiment):
        yield (
            f"{place} is behind: it has another result of {fold} than {folder}, which was trained or validated again, "
            f"or is a copy. {remedy} sends what is there."
        )


def _sending(fold: Fold) -> str:
    """Returns what sends a finished fold to MLflow, or has Dagster record it."""
    if fold.place.experiment.is_ensemble:
        return "Materializing the cv_summary of the ensemble"
    if fold.state == "adopted":
        return f"`nnunet-assets adopt {fold.place.folder}`"
    if (fold.place.own / MLFLOW_RUN_FILE).is_file():
        return f"`nnunet-assets sync {fold.place.folder}`"
    return "Materializing it, or `nnunet-assets train`, which trains no finished fold again,"


def _is_same(own: ScoredFold, recorded: ScoredFold | FoldMeans, experiment: Experiment) -> bool:
    if isinstance(recorded, ScoredFold):
        left, right = (
            (one.cases, one.inputs, one.n_epochs, one.validated, one.stopped_early) for one in (own, recorded)
        )
        return left == right
    series = series_of(own.cases, experiment, own.fold)
    means = {
        **{f"val_{measure}_mean": found.foreground for measure, found in recorded.means.items()},
        **{f"val_{measure}/{name}": m for measure, found in recorded.means.items() for name, m in found.labels.items()},
    }
    return all(_are_close(series.get(name), means.get(name)) for name in {*series, *means})


def _are_close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= SAME_SCORE
