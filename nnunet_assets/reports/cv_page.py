"""The report of one cross-validation as one HTML page: scores, figures, cases, methods and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunet_assets.core.commit import Manifest
from nnunet_assets.core.cv_summary import CvSummary, Estimate
from nnunet_assets.core.evaluation import short_records
from nnunet_assets.reports.methods import methods_paragraph
from nnunet_assets.reports.page import data_uri, render_page
from nnunet_assets.reports.tables import notes, to_short_records, to_spread_records

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
    summary: CvSummary,
    manifests: Mapping[str, Manifest],
    parameters: Mapping[str, Mapping[str, Any]],
    figures: Sequence[PageFigure],
    evaluation: Mapping[str, Any],
) -> str:
    """Returns the page.

    Args:
        summary: The cross-validation.
        manifests: By finished fold.
        parameters: As for `methods_paragraph`.
        figures: In the order of the page.
        evaluation: What `evaluation.json` holds.
    """
    cases = list(_cases(summary))
    report = {
        "title": summary.experiment.title,
        "headline": summary.headline(),
        "tiles": list(_tiles(summary)),
        "warnings": list(_warnings(summary)),
        "scores": to_short_records(summary),
        "spread": to_spread_records(summary),
        "notes": notes(summary),
        "surfaces": short_records(evaluation),
        "problems": [problem["message"] for problem in evaluation["problems"]],
        "figures": [{"caption": f.caption, "source": data_uri(f.content, f.kind)} for f in figures],
        "folds": list(_folds(summary, manifests)),
        "cases": cases[:SHOWN_CASES],
        "n_more_cases": max(0, len(cases) - SHOWN_CASES),
        "methods": methods_paragraph(summary, manifests, parameters),
        "provenance": _provenance(summary, manifests),
    }
    return render_page("cv_report.html.j2", report=report)


def _tiles(summary: CvSummary) -> Iterator[dict[str, str]]:
    dice = summary.foreground.dice
    yield {"number": f"{len(summary.completed_folds)} of {len(summary.expected_folds)}", "meaning": "folds"}
    yield {"number": str(summary.n_cases), "meaning": "validation cases"}
    yield {"number": _number(dice.pooled), "meaning": "Dice, pooled"}
    yield {"number": _number(dice.over_folds), "meaning": "Dice, over folds"}
    hours = sum(sum(fold.seconds.values()) for fold in summary.folds) / 3600
    yield {"number": f"{hours:.1f} h", "meaning": "of training and validation"}


def _number(estimate: Estimate) -> str:
    return "undefined" if estimate.mean is None else f"{estimate.mean:.3f}"


def _warnings(summary: CvSummary) -> Iterator[str]:
    if summary.missing_folds:
        yield f"Not complete: {', '.join(summary.missing_folds)} missing."
    for fold in summary.folds:
        if fold.stopped_early:
            yield f"{fold.fold} was not trained to its last epoch: {fold.stopped_early}."


def _folds(summary: CvSummary, manifests: Mapping[str, Manifest]) -> Iterator[dict[str, str]]:
    for fold in summary.folds:
        manifest = manifests.get(fold.fold)
        yield {
            "fold": fold.fold,
            "cases": str(len(fold.cases)),
            "dice": _number(summary.foreground.dice.by_fold[fold.fold]),
            "epochs": str(fold.n_epochs),
            "hours": f"{sum(fold.seconds.values()) / 3600:.2f}",
            "device": manifest.device if manifest else "",
            "checkpoint": fold.validated,
        }


def _cases(summary: CvSummary) -> Iterator[dict[str, str]]:
    scores = {case.case_id: case.scores for fold in summary.folds for case in fold.cases}
    for case in summary.ranked_cases():
        dices = {name: score.dice for name, score in scores[case.case_id].items()}
        yield {
            "case": case.case_id,
            "fold": case.fold,
            "mean over labels": f"{case.dice:.3f}",
            **{name: "undefined" if dice is None else f"{dice:.3f}" for name, dice in dices.items()},
        }


def _provenance(summary: CvSummary, manifests: Mapping[str, Manifest]) -> dict[str, str]:
    inputs = summary.inputs
    versions = {name: version for manifest in manifests.values() for name, version in manifest.versions.items()}
    return {
        "raw data": inputs.raw_hash,
        "plans": inputs.plans_hash,
        "splits": inputs.splits_hash,
        "training settings": inputs.training_hash,
        **versions,
    }
