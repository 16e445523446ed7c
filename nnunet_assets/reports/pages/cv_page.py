"""The report of one cross-validation as one HTML page: scores, figures, cases, methods and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.fold.commit import Manifest
from nnunet_assets.core.fold.members import members_of
from nnunet_assets.core.fold.version_history import mixed_in_words
from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.core.text.places import Places
from nnunet_assets.reports.pages.page import data_uri, render_page
from nnunet_assets.reports.tables import evaluation_tables
from nnunet_assets.reports.tables.gap_tables import gap_headline, gap_notes, gap_records
from nnunet_assets.reports.tables.summary_tables import to_short_records, to_spread_records
from nnunet_assets.reports.text.estimates import mean_text
from nnunet_assets.reports.text.interval_notes import interval_notes
from nnunet_assets.reports.text.methods import methods_paragraph
from nnunet_assets.reports.text.summary_notes import notes

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap

SHOWN_CASES = 50
"""A page of 10,000 rows helps nobody; the worst are what a reader looks for."""


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page.

    Attributes:
        caption: What it shows.
        content: The file.
        kind: Its MIME type, `image/svg+xml` or `image/png`.
    """

    caption: str
    content: bytes
    kind: str


def cv_page(
    summary: ScoredSummary,
    manifests: Mapping[str, Manifest],
    parameters: Mapping[str, Mapping[str, Any]],
    figures: Sequence[PageFigure],
    evaluation: Mapping[str, Any],
    *,
    gaps: "Sequence[Gap]" = (),
    drawn_for_gaps: Bootstrap | None = None,
    places: Places = Places(),  # noqa: B008 - frozen
) -> str:
    """Returns the page.

    Args:
        summary: The cross-validation.
        manifests: By finished fold.
        parameters: As for `methods_paragraph`.
        figures: In the order of the page.
        evaluation: What `evaluation.json` holds.
        gaps: To the test set; empty: these folds have predicted none.
        drawn_for_gaps: How the intervals of the test means were made.
        places: Folders whose place is not to be on the page.
    """
    cases = list(_cases(summary))
    report = {
        "title": summary.experiment.title,
        "headline": summary.headline(),
        "tiles": list(_tiles(summary)),
        "warnings": list(_warnings(summary, manifests, evaluation)),
        "scores": to_short_records(summary),
        "spread": to_spread_records(summary),
        "notes": notes(summary),
        "evaluated": _evaluated(evaluation),
        "surfaces": evaluation_tables.short_records(evaluation),
        "surface_intervals": evaluation_tables.interval_records(evaluation),
        "surface_notes": evaluation_tables.notes(evaluation),
        "problems": [problem["message"] for problem in evaluation["problems"]],
        "test_set": _test_set(gaps, drawn_for_gaps, summary.what) if gaps else None,
        "figures": [{"caption": f.caption, "source": data_uri(f.content, f.kind)} for f in figures],
        "folds": list(_folds(summary, manifests)),
        "case_columns": ["case", "fold", "mean over labels", *summary.labels],
        "cases": cases[:SHOWN_CASES],
        "n_more_cases": max(0, len(cases) - SHOWN_CASES),
        "methods": methods_paragraph(summary, manifests, parameters),
        "provenance": _provenance(summary, manifests, evaluation),
    }
    return render_page("cv_report.html.j2", places, report=report)


def _test_set(gaps: "Sequence[Gap]", drawn: Bootstrap | None, what: str) -> dict[str, Any]:
    sentences = [*gap_notes(gaps, what), *(interval_notes(drawn, of="test mean") if drawn else [])]
    return {"headline": gap_headline(gaps, what), "rows": gap_records(gaps, what), "notes": sentences}


def _tiles(summary: ScoredSummary) -> Iterator[dict[str, str]]:
    dice = summary.foreground.dice
    if summary.is_hold_out:
        yield {"number": summary.expected_folds[0], "meaning": "hold-out, no cross-validation"}
    else:
        yield {"number": f"{len(summary.completed_folds)} of {len(summary.expected_folds)}", "meaning": "folds"}
    yield {"number": str(summary.n_cases), "meaning": "validation cases"}
    yield {"number": _number(dice.pooled), "meaning": "Dice, pooled"}
    if not summary.is_hold_out:
        yield {"number": _number(dice.over_folds), "meaning": "Dice, over folds"}
    hours = sum(sum(fold.seconds.values()) for fold in summary.folds) / 3600
    yield {
        "number": f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min",
        "meaning": "of ensembling" if summary.experiment.is_ensemble else "of training and validation",
    }
    computing = summary.computing
    if computing.gpu_hours is not None:
        yield {"number": f"{computing.gpu_hours:.1f}", "meaning": "GPU hours"}
    for kind, n_bytes in computing.peak_memory_bytes.items():
        yield {"number": f"{n_bytes / 2**30:.1f} GiB", "meaning": f"peak memory ({_words(kind)})"}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(estimate: Estimate) -> str:
    return mean_text(estimate)


def _warnings(
    summary: ScoredSummary, manifests: Mapping[str, Manifest], evaluation: Mapping[str, Any]
) -> Iterator[str]:
    if summary.missing_folds:
        yield f"Not complete: {', '.join(summary.missing_folds)} missing."
    if evaluation["folds"] != list(summary.completed_folds):
        yield (
            f"Surfaces and volumes are of {', '.join(evaluation['folds'])}, the scores of "
            f"{', '.join(summary.completed_folds)}. Materialize cv_evaluation and cv_summary again."
        )
    for name, manifest in manifests.items():
        if mixed := mixed_in_words(manifest.mixed_versions):
            yield f"{name} was made under more than one version: {mixed}. It is not what one of them alone would make."
    for fold in summary.folds:
        if fold.stopped_early:
            yield f"{fold.fold} was not trained to its last epoch: {fold.stopped_early}."


def _evaluated(evaluation: Mapping[str, Any]) -> str:
    shown = f"{evaluation['n_evaluated']} of {evaluation['n_expected']} cases of {', '.join(evaluation['folds'])}"
    missing = f"; not finished: {', '.join(evaluation['missing_folds'])}" if evaluation["missing_folds"] else ""
    return f"{shown}{missing}. Policy {evaluation['policy_digest'][:16]}."


def _folds(summary: ScoredSummary, manifests: Mapping[str, Manifest]) -> Iterator[dict[str, str]]:
    for fold in summary.folds:
        manifest = manifests.get(fold.fold)
        scored = {
            "fold": fold.fold,
            "cases": str(len(fold.cases)),
            "dice": _number(summary.foreground.dice.by_fold[fold.fold]),
        }
        if summary.experiment.is_ensemble:
            members = members_of(manifest.details) if manifest else []
            yield {**scored, "members": ", ".join(member.name for member in members)}
            continue
        yield {
            **scored,
            "epochs": str(fold.n_epochs),
            "hours": f"{sum(fold.seconds.values()) / 3600:.2f}",
            "GPU hours": "" if fold.gpu_hours is None else f"{fold.gpu_hours:.2f}",
            "peak memory": ", ".join(
                f"{n / 2**30:.1f} GiB ({_words(kind)})" for kind, n in fold.peak_memory_bytes.items()
            ),
            "device": manifest.device if manifest else "",
            "checkpoint": fold.validated,
        }


def _cases(summary: ScoredSummary) -> Iterator[list[str]]:
    """Yields lists: a label may be called as another column is."""
    scores = {case.case_id: case.scores for fold in summary.folds for case in fold.cases}
    for case in summary.ranked_cases():
        dices = [scores[case.case_id][name].dice for name in summary.labels]
        texts = ["undefined" if dice is None else fixed(dice) for dice in dices]
        yield [case.case_id, case.fold, fixed(case.dice), *texts]


def _provenance(
    summary: ScoredSummary, manifests: Mapping[str, Manifest], evaluation: Mapping[str, Any]
) -> dict[str, str]:
    inputs = summary.inputs
    names = dict.fromkeys(name for manifest in manifests.values() for name in manifest.versions)
    by_name = {name: [version for m in manifests.values() for version in m.versions_of(name)] for name in names}
    versions = {name: " or ".join(dict.fromkeys(found)) for name, found in by_name.items()}
    return {
        "raw data": inputs.raw_hash,
        "plans": inputs.plans_hash,
        "splits": inputs.splits_hash,
        "training settings": inputs.training_hash,
        "evaluation policy": evaluation["policy_digest"],
        **versions,
    }
