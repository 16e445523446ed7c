"""The intake of a raw dataset as files: two tables for programs, a page for people.

`intake.parquet` has a row a case, `findings.parquet` a row a finding, `intake.html` both. Each is replaced as a whole.
"""

from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.dataset.finding_kinds import FINDING_KINDS
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.summary.summary_rows import Cell, Row
from nnunet_assets.core.text.places import Places
from nnunet_assets.reports.pages.intake_page import intake_page
from nnunet_assets.reports.text.rows import parquet_bytes

PAGE = "intake.html"
CASES = "intake.parquet"
FINDINGS = "findings.parquet"
FINDING_COLUMNS = ("code", "severity", "title", "case", "file", "message", "remedy")
_AXES = "xyz"
_QUANTILES = ("minimum", "p00_5", "q25", "median", "q75", "p99_5", "maximum")
_OF_LABEL = {"voxels": int, "volume_ml": float}


def write_intake(folder: Path, report: IntakeReport, places: Places = Places()) -> list[Path]:  # noqa: B008 - frozen
    """Writes the three files, the page first, and returns their paths; the place of no folder is in them."""
    hidden = [replace(finding, message=places.hidden(finding.message)) for finding in report.findings]
    report = replace(report, findings=tuple(hidden))
    contents = {
        PAGE: intake_page(report, places).encode(),
        CASES: parquet_bytes(case_columns(report), [_case_row(row, report) for row in report.cases]),
        FINDINGS: parquet_bytes(dict.fromkeys(FINDING_COLUMNS, str), map(_finding_row, report.findings)),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def case_columns(report: IntakeReport) -> dict[str, type]:
    """Returns the columns of the cases: shape, spacing, quantiles by channel, voxels and volume by label, findings."""
    channels = range(len(report.channel_names))
    return {
        "case": str,
        **{f"shape_{axis}": int for axis in _AXES},
        **{f"spacing_mm_{axis}": float for axis in _AXES},
        **{f"channel_{channel:04d}_{name}": float for channel in channels for name in _QUANTILES},
        **{f"{name}/{label}": kind for label in report.foreground for name, kind in _OF_LABEL.items()},
        "findings": str,
    }


def _case_row(row: CaseRow, report: IntakeReport) -> Row:
    record: dict[str, Cell] = {"case": row.case}
    for name, values in (("shape", row.shape), ("spacing_mm", row.spacing_mm)):
        by_axis = dict(zip(_AXES, values or (), strict=False))
        record |= {f"{name}_{axis}": by_axis.get(axis) for axis in _AXES}
    for channel in range(len(report.channel_names)):
        known = row.intensities[channel] if channel < len(row.intensities) else None
        record |= {f"channel_{channel:04d}_{name}": getattr(known, name) if known else None for name in _QUANTILES}
    for name in report.foreground:
        record[f"voxels/{name}"] = row.label_voxels.get(name)
        record[f"volume_ml/{name}"] = row.label_volumes_ml.get(name)
    return record | {"findings": ",".join(row.codes)}


def _finding_row(finding: Finding) -> Row:
    kind = FINDING_KINDS[finding.code]
    of_kind = {"title": kind.title, "remedy": kind.remedy}
    return {name: of_kind.get(name) or getattr(finding, name) for name in FINDING_COLUMNS}
