"""The intake of a raw dataset as files: two tables for programs, a page for people.

`intake.parquet` has a row a case, `findings.parquet` a row a finding, `intake.html` both. Each is replaced as a whole.
"""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.finding_kinds import FINDING_KINDS
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.text.places import Places
from nnunet_assets.reports.pages.intake_page import intake_page

if TYPE_CHECKING:
    import pandas as pd

PAGE = "intake.html"
CASES = "intake.parquet"
FINDINGS = "findings.parquet"
_AXES = "xyz"


def write_intake(folder: Path, report: IntakeReport, places: Places = Places()) -> list[Path]:  # noqa: B008 - frozen
    """Writes the three files, the page first, and returns their paths; the place of no folder is in them."""
    hidden = [replace(finding, message=places.hidden(finding.message)) for finding in report.findings]
    report = replace(report, findings=tuple(hidden))
    contents = {
        PAGE: intake_page(report, places).encode(),
        CASES: _parquet(cases_table(report)),
        FINDINGS: _parquet(findings_table(report)),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def cases_table(report: IntakeReport) -> "pd.DataFrame":
    """Returns a row a case: shape, spacing, quantiles by channel, voxels and volume by label, codes of its findings."""
    import pandas as pd

    return pd.DataFrame([_record(row, report) for row in report.cases])


def findings_table(report: IntakeReport) -> "pd.DataFrame":
    """Returns a row a finding: code, severity, title, case, file, message, remedy; case and file may be missing."""
    import pandas as pd

    columns = ["code", "severity", "title", "case", "file", "message", "remedy"]
    rows = [
        (f.code, f.severity, FINDING_KINDS[f.code].title, f.case, f.file, f.message, FINDING_KINDS[f.code].remedy)
        for f in report.findings
    ]
    # Text also where a column is empty, so that the tables of two datasets have one form.
    return pd.DataFrame(rows, columns=columns).astype("string")


def _record(row: CaseRow, report: IntakeReport) -> dict[str, Any]:
    record: dict[str, Any] = {"case": row.case}
    for name, values in (("shape", row.shape), ("spacing_mm", row.spacing_mm)):
        by_axis = dict(zip(_AXES, values or (), strict=False))
        record |= {f"{name}_{axis}": by_axis.get(axis) for axis in _AXES}
    for channel in range(len(report.channel_names)):
        known = row.intensities[channel] if channel < len(row.intensities) else None
        for name in ("minimum", "p00_5", "q25", "median", "q75", "p99_5", "maximum"):
            record[f"channel_{channel:04d}_{name}"] = getattr(known, name) if known else None
    for name in report.foreground:
        record[f"voxels/{name}"] = row.label_voxels.get(name)
        record[f"volume_ml/{name}"] = row.label_volumes_ml.get(name)
    return record | {"findings": ",".join(row.codes)}


def _parquet(table: "pd.DataFrame") -> bytes:
    content = BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()
