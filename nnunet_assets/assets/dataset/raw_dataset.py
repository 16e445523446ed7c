"""`raw_dataset` and `case_list`: the data in nnUNet_raw, looked at before anything is made from it, in one step.

They are two assets so that a label that was touched up makes the plans stale, but not the splits: those follow from the
names of the cases alone. Neither can be asked for without the other: splits beside a new `raw_dataset` would not wait
for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.mlflow_runs import report_metadata, run_metadata
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import file_columns, shown_table
from nnunet_assets.assets.types import CASE_LIST, RAW_DATASET
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import raw_data_run
from nnunet_assets.workflows.dataset.prepare import look

if TYPE_CHECKING:
    from nnunet_assets.nnunet.preparation.curated_dataset import CuratedDataset
    from nnunet_assets.nnunet.raw.raw_data import RawDataset, Spread

CONSISTENT_CHECK = "is_consistent"
SHOWN_FINDINGS = 100
"""Rows of the table in the web UI; the page has more, findings.parquet all."""

DESCRIPTION = """The dataset as it lies in `nnUNet_raw`: dataset.json, images and labels.

Materializing it reads every case that changed since the last time: missing files, shapes and spacings that differ,
unknown label values, NaN, cut files, copies, cases that stand out. Its data version is a digest of the contents, so
that everything made from it turns stale when they change. The folder itself is never written: cases in `quarantine`
are left out, and headers repaired in copies."""

CASE_LIST_DESCRIPTION = """The names of the training cases, from which the splits follow.

Made in one step with `raw_dataset`. Its data version changes when a case is added, removed or renamed, or
with a `splits_final.json` beside them in `nnUNet_raw`, and not when an image or a label is edited."""


class IntakeRunConfig(dg.Config):
    """What one run may ask for."""

    rehash: bool = Field(
        default=False, description="Read every file anew, also those whose size and times are as they were."
    )


def build_raw_dataset(*, config: DatasetConfig, group: str) -> dg.AssetsDefinition:
    """Returns the two assets of one declared dataset."""
    declared = config
    key, list_key = (dg.AssetKey(dataset_key(config.dataset, name)) for name in ("raw_dataset", "case_list"))
    check = dg.AssetCheckSpec(
        CONSISTENT_CHECK,
        asset=key,
        blocking=True,
        description="No case contradicts dataset.json or itself; nothing downstream starts where one does.",
    )
    descriptions = {key: DESCRIPTION, list_key: CASE_LIST_DESCRIPTION}

    @dg.multi_asset(
        name="__".join(key.path).replace(".", "_").replace("-", "_"),
        outs={
            one.to_python_identifier(): dg.AssetOut(
                key=one,
                dagster_type=RAW_DATASET if one == key else CASE_LIST,
                io_manager_key=VALUES_KEY,
                group_name=group,
                kinds={"dataset", "file"} if one == key else {"dataset"},
                owners=config.owners,
                description=description,
                code_version=_code_version(declared),
            )
            for one, description in descriptions.items()
        },
        check_specs=[check],
    )
    def raw_dataset(
        context: dg.AssetExecutionContext,
        config: IntakeRunConfig,
        project: ProjectResource,
        mlflow: dg.ResourceParam[object],
    ) -> Iterator[dg.MaterializeResult]:
        settings = project.settings
        with shown_as_failure():
            # The check stops this run only; the record that this writes stops later ones, of splits or plans alone.
            looked = look(settings, declared, LogProgress(context.log), rehash=config.rehash)
        found, curated = looked.found, looked.curated
        context.log.info(f"{found.report.headline()}; cases read: {found.n_read}; the others had not changed.")
        destination, run_id = destination_of(mlflow, settings), context.run.run_id
        tracked = bring_up_to_date(destination, raw_data_run(found.report), looked.files, dagster_run_id=run_id)
        report = report_metadata(looked.page, tracked, is_there=destination.takes_files)
        shown = {**report, **run_metadata(tracked, context.log)}
        names: dg.MaterializeResult[list[str]] = dg.MaterializeResult(
            asset_key=list_key,
            value=list(found.cases),
            data_version=dg.DataVersion(looked.names_digest),
            metadata={"cases": dg.MetadataValue.int(found.n_cases)},
        )
        contents: dg.MaterializeResult[RawRecord] = dg.MaterializeResult(
            asset_key=key,
            value=replace(found.record, curation=curated.digest),
            data_version=dg.DataVersion(found.content_hash),
            metadata={**_metadata(found), **_curation_metadata(curated), **shown},
            check_results=[_check(found, curated)],
        )
        # The names first: after a check that fails nothing more is recorded.
        yield names
        yield contents

    return raw_dataset


def _code_version(config: DatasetConfig) -> str:
    # The reason for a quarantine is for people.
    declared = [sorted(config.quarantine), config.repair_headers_mm]
    return f"2 {json_sha256(declared)[:8]}" if any(declared) else "2"


def _check(found: "RawDataset", curated: "CuratedDataset") -> dg.AssetCheckResult:
    errors, warnings = findings_text(found.errors), findings_text(found.warnings)
    return dg.AssetCheckResult(
        check_name=CONSISTENT_CHECK,
        passed=not errors,
        severity=dg.AssetCheckSeverity.ERROR,
        description=errors or "Every case was read, and nothing contradicts.",
        metadata={
            "errors": dg.MetadataValue.text(errors or "none"),
            "warnings": dg.MetadataValue.text(warnings or "none"),
            **_curation_metadata(curated),
        },
    )


def _curation_metadata(curated: "CuratedDataset") -> dict[str, dg.MetadataValue]:
    """Returns what was left out and repaired, where anything was."""
    quarantined = "\n".join(f"{case}: {reason}" for case, reason in curated.quarantined.items())
    repaired = "\n".join(f"{repair.file} (by {repair.distance_mm:.3g} mm)" for repair in curated.repairs)
    shown = {"quarantined": quarantined, "repaired_headers": repaired}
    return {name: dg.MetadataValue.text(text) for name, text in shown.items() if text}


def _metadata(found: "RawDataset") -> dict[str, dg.MetadataValue]:
    # Jinja comes with it, which no load of the definitions needs.
    from nnunet_assets.reports.pages.intake_files import case_columns

    rows = [
        {"label": name, "cases": label.n_cases, "volume (ml)": _spread([label.volume_ml]), **_volume(label.volume_ml)}
        for name, label in found.labels.items()
    ]
    findings = [
        {"code": f.code, "severity": f.severity, "case": f.case or "", "finding": f.message}
        for f in [*found.errors, *found.warnings][:SHOWN_FINDINGS]
    ]
    return {
        "cases": dg.MetadataValue.int(found.n_cases),
        "errors": dg.MetadataValue.int(len(found.errors)),
        "warnings": dg.MetadataValue.int(len(found.warnings)),
        "findings": shown_table(findings),
        "channels": dg.MetadataValue.text(", ".join(found.description.channel_names)),
        "labels": shown_table(rows) if rows else dg.MetadataValue.text("not read: not a NIfTI dataset"),
        "spacing_mm": dg.MetadataValue.text(_spread(found.spacing_mm)),
        "shape_voxels": dg.MetadataValue.text(_spread(found.shape)),
        "folder": dg.MetadataValue.path(found.folder),
        "content_hash": dg.MetadataValue.text(found.content_hash),
        **file_columns(case_columns(found.report), found.n_cases),
        "cases_read": dg.MetadataValue.int(found.n_read),
    }


def _volume(spread: "Spread | None") -> dict[str, float | None]:
    names = ("median", "minimum", "maximum")
    return {f"{name}_ml": getattr(spread, name) if spread else None for name in names}


def _spread(axes: "Sequence[Spread | None] | None") -> str:
    """Returns `1 (0.95 to 1.05) x ...`: median and range along each axis of the file, X first."""
    if axes is None or None in axes:
        return "unknown"
    return " x ".join(f"{a.median:.4g} ({a.minimum:.4g} to {a.maximum:.4g})" for a in axes if a)
