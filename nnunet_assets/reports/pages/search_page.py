"""A search as one HTML page: what was tried, what came of it, and what it cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnunet_assets.core.search.report import SearchReport, TrialReport
from nnunet_assets.core.text.amounts import count_text
from nnunet_assets.core.text.places import Places
from nnunet_assets.reports.pages.cv_page import PageFigure
from nnunet_assets.reports.pages.page import data_uri, render_page


def search_page(
    report: SearchReport,
    space: str,
    figures: Sequence[PageFigure],
    adopted: Sequence[str] = (),
    places: Places = Places(),  # noqa: B008 - frozen
) -> str:
    """Returns the page.

    Args:
        report: The search.
        space: What was varied, in words.
        figures: In the order of the page.
        adopted: What experiments that are its trials score, each in a sentence.
        places: Folders whose place is not to be on the page.
    """
    page = {
        "title": report.title,
        "headline": report.headline(),
        "space": space,
        "changes": report.changes(),
        "fold": report.fold,
        "tiles": _tiles(report),
        "trials": [_row(one, report.settings) for one in report.in_order],
        "adopted": adopted,
        "figures": [{"caption": one.caption, "source": data_uri(one.content, one.kind)} for one in figures],
        "failures": [f"Trial {one.trial.number}: {one.trial.problem}" for one in report.trials if one.trial.problem],
    }
    return render_page("search.html.j2", places, report=page)


def _tiles(report: SearchReport) -> list[dict[str, str]]:
    best, counts = report.best, report.counts()
    tiles = [{"number": f"{len(report.counted)} of {report.n_wanted}", "meaning": "trials"}]
    tiles += [{"number": str(n), "meaning": state} for state, n in counts.items()]
    whole = report.max_epochs * len(report.trials)
    spared = f"epochs trained, of {whole:,} without stopping" if report.stopped_at else "epochs trained"
    tiles += [{"number": f"{report.n_epochs:,}", "meaning": spared}]
    tiles += [{"number": f"{report.hours:.2g} h", "meaning": "that they took together"}]
    if best and best.curve.last:
        n_epochs, score = best.curve.last
        after = f"after {count_text(n_epochs, 'epoch')}"
        meaning = f"pseudo Dice of trial {best.trial.number} {after}: it ranks, and is no result"
        tiles.append({"number": f"{score:.4f}", "meaning": meaning})
    return tiles


def _row(one: TrialReport, settings: Sequence[str]) -> dict[str, str]:
    point: Mapping[str, Any] = one.trial.point
    return {
        "trial": one.name,
        **{name: _text(point.get(name)) for name in settings},
        "state": one.trial.state if one.is_counted else f"{one.trial.state}, outside of the space now",
        "begun (UTC)": f"{one.begun:%Y-%m-%d %H:%M}",
        "epochs": str(one.curve.n_epochs),
        "pseudo Dice": _text(one.score),
        "Dice, fold that chose": _text(one.dice),
        "hours": f"{one.curve.seconds / 3600:.2g}",
    }


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
