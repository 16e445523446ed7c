"""The intake of a raw dataset as one HTML page that a person can read."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from nnunet_assets.core.dataset.finding_kinds import FINDING_KINDS
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport
from nnunet_assets.core.text.places import Places
from nnunet_assets.reports.pages.page import render_page

SHOWN_MESSAGES = 50
"""Of each code; a page of 10,000 lines helps nobody."""


@dataclass(frozen=True)
class _Cell:
    """What a cell shows, and the number that it is sorted by; None: by its text."""

    text: str
    key: float | None = None


def intake_page(report: IntakeReport, places: Places = Places()) -> str:  # noqa: B008 - frozen
    """Returns the page, with the place of no folder on it."""
    return render_page(
        "intake.html.j2",
        places,
        report=report,
        groups=list(_groups(report)),
        labels=list(_labels(report)),
        columns=list(_columns(report)),
        rows=[list(_cells(row, report)) for row in report.cases],
    )


def _groups(report: IntakeReport) -> Iterator[dict[str, Any]]:
    """Yields the findings by code and severity, errors first."""
    kinds = sorted({(finding.severity, finding.code) for finding in report.findings})
    for severity, code in kinds:
        same = [f.message for f in report.findings if (f.severity, f.code) == (severity, code)]
        yield {
            "code": code,
            "severity": severity,
            "title": FINDING_KINDS[code].title,
            "remedy": FINDING_KINDS[code].remedy,
            "n": len(same),
            "messages": same[:SHOWN_MESSAGES],
            "n_hidden": max(0, len(same) - SHOWN_MESSAGES),
            "is_open": severity == "error" or len(kinds) <= 3,
        }


def _labels(report: IntakeReport) -> Iterator[dict[str, Any]]:
    for name in report.foreground if report.voxels_checked else ():
        volumes = report.volumes_ml(name)
        largest = max(volumes, default=0.0)
        yield {
            "name": name,
            "n_cases": len(volumes),
            "median": f"{median(volumes):.4g}" if volumes else "",
            "minimum": f"{min(volumes):.4g}" if volumes else "",
            "maximum": f"{largest:.4g}" if volumes else "",
            "positions": [round(6 + 248 * volume / largest, 1) for volume in volumes],
        }


def _columns(report: IntakeReport) -> Iterator[str]:
    yield from ("case", "shape", "spacing (mm)")
    for channel in report.channel_names:
        yield f"{channel}: median (0.5 % to 99.5 %)"
    for name in report.foreground:
        yield f"{name} (ml)"
    yield "findings"


def _cells(row: CaseRow, report: IntakeReport) -> Iterator[_Cell]:
    yield _Cell(row.case)
    yield _Cell(_by_axis(row.shape), _product(row.shape))
    yield _Cell(_by_axis(row.spacing_mm), _product(row.spacing_mm))
    for channel in range(len(report.channel_names)):
        values = row.intensities[channel] if channel < len(row.intensities) else None
        shown = f"{values.median:.4g} ({values.p00_5:.4g} to {values.p99_5:.4g})" if values else ""
        yield _Cell(shown, values.median if values else None)
    for name in report.foreground:
        volume = row.label_volumes_ml.get(name)
        yield _Cell("", None) if volume is None else _Cell(f"{volume:.4g}", volume)
    yield _Cell(", ".join(row.codes))


def _by_axis(values: tuple[float, ...] | None) -> str:
    return " × ".join(f"{value:.4g}" for value in values) if values else ""


def _product(values: tuple[float, ...] | None) -> float | None:
    if not values:
        return None
    product = 1.0
    for value in values:
        product *= value
    return product
