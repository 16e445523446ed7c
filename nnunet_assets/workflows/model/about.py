"""What a project knows of a model beside what its files say: its numbers, and what it was made from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import ModelNumber
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.summary.label_summary import METRICS
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import known_orientations
from nnunet_assets.workflows.results.summarize import up_to_date_summary

METRIC_NAMES = {"dice": "Dice", "iou": "IoU"}

OF_ALL_FOLDS = (
    "each case predicted by the one fold that was not trained on it; the model predicts with all folds together"
)
OF_ENSEMBLE = (
    "each case predicted by the mean of one fold a member, which were not trained on it; the model predicts with all "
    "folds of all members together"
)
OF_FULL_MODEL = (
    "each case predicted by the fold of the cross-validation that was not trained on it; this model was trained on "
    "every case, so that nothing is left to score itself by"
)


def about_experiment(
    roots: Roots, experiment: Experiment, folds: Sequence[str], progress: Progress, *, is_full_model: bool = False
) -> AboutModel:
    """Returns what is known of an experiment's folds as a model, or of its model of every case.

    Args:
        roots: nnU-Net's folders.
        experiment: Whose folds; or an ensemble of several, whose summary is read like that of one.
        folds: Those of a complete cross-validation.
        progress: Told that the summary is made, where it is missing or older than a fold.
        is_full_model: The numbers are of the cross-validation all the same, and say so; none where it is not complete.

    Raises:
        SummaryError: The summary cannot be read or made.
    """
    summary = _summary(roots, experiment, folds, progress, may_be_missing=is_full_model)
    how = OF_FULL_MODEL if is_full_model else OF_ENSEMBLE if experiment.is_ensemble else OF_ALL_FOLDS
    return AboutModel(
        numbers=numbers_of(summary, how) if summary else {},
        n_cases=_n_cases(roots, experiment, None if is_full_model else summary),
        orientations=known_orientations(PreparedFolder(roots, experiment.dataset)),
    )


def with_inputs(about: AboutModel, members: Sequence[Member]) -> AboutModel:
    """Returns what is known of a model, with the digests of what its members were made from, and what they continue."""
    notes = [*about.notes, *(note for member in members if (note := _continued(member)))]
    return replace(about, inputs={**about.inputs, **dict(_inputs(members))}, notes=tuple(notes))


def numbers_of(summary: ScoredSummary, how: str) -> dict[str, ModelNumber]:
    """Returns the pooled means of a summary: `dice`, `iou`, `dice/LABEL`, `iou/LABEL`; undefined ones are left out.

    Args:
        summary: Of a cross-validation.
        how: How the cases were predicted, as the end of a sentence.
    """
    found = {}
    for metric in METRICS:
        of = {metric: summary.foreground, **{f"{metric}/{name}": label for name, label in summary.labels.items()}}
        for key, label in of.items():
            estimate: Estimate = getattr(label, metric).pooled
            if estimate.mean is not None:
                subject = key.partition("/")[2] or "the foreground labels"
                found[key] = ModelNumber(
                    mean=estimate.mean,
                    interval=estimate.interval,
                    n_cases=estimate.n_defined,
                    estimand=f"Mean {METRIC_NAMES[metric]} of {subject}: {how}.",
                )
    return found


def _summary(
    roots: Roots, experiment: Experiment, folds: Sequence[str], progress: Progress, *, may_be_missing: bool
) -> ScoredSummary | None:
    try:
        summary = up_to_date_summary(roots, experiment, folds, progress)
    except SummaryError:
        if may_be_missing:
            return None
        raise
    return summary if summary.is_complete else None


def _n_cases(roots: Roots, experiment: Experiment, summary: ScoredSummary | None) -> int | None:
    """Returns how many cases a model was trained on: by its folds together, else by the one of every case."""
    if summary:
        return summary.n_cases + len(summary.training_only or ())
    finished = FinishedFold.read(experiment.fold_folder(roots, FULL_FOLD))
    # nnU-Net validates it on every case that it was trained on.
    cases = finished.manifest.details.get("validation_cases") if finished else None
    return len(cases) if cases else None


def _continued(member: Member) -> str | None:
    """Returns the sentence that says of which training a member is the continuation; None: it is none."""
    finished = (FinishedFold.read(member.folder / fold) for fold in member.folds)
    known = [found for one in finished if one and (found := one.manifest.details.get(CONTINUES))]
    if not known:
        return None
    epochs = " or ".join(map(str, sorted({found["n_epochs"] for found in known})))
    parent = known[0]["experiment"].rpartition(", ")[0]
    return f"{member.experiment.title} continues the training of {parent} after its {epochs} epochs."


def _inputs(members: Sequence[Member]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields of each member its name, and what it was made from: digests of the data, and of each fold."""
    for member in members:
        finished = [found for fold in member.folds if (found := FinishedFold.read(member.folder / fold))]
        made = finished[0].manifest.inputs if finished else None
        hashes = (
            {"raw_hash": made.raw_hash, "plans_hash": made.plans_hash, "splits_hash": made.splits_hash} if made else {}
        )
        for fold in finished:
            hashes[f"{fold.folder.name}/commit"] = fold.sha256
            if continued := fold.manifest.details.get(CONTINUES):
                hashes[f"{fold.folder.name}/continues"] = continued["checkpoint_sha256"]
            if checkpoint := fold.manifest.files.get(member.checkpoint):
                hashes[f"{fold.folder.name}/{member.checkpoint}"] = checkpoint
        yield "/".join(member.experiment.key_prefix), hashes
        if member.previous:
            yield from _inputs([member.previous])
