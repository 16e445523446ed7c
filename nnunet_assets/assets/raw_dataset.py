"""`raw_dataset`: the images and labels in nnUNet_raw, looked at before anything is made from them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from nnunet_assets.assets.failures import shown_as_failure
from nnunet_assets.config import DatasetConfig
from nnunet_assets.core.findings import findings_text
from nnunet_assets.core.layout import dataset_key
from nnunet_assets.core.provenance import json_sha256
from nnunet_assets.resources import ProjectResource
from nnunet_assets.settings import Settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.curated_dataset import CuratedDataset
    from nnunet_assets.nnunet.raw_data import RawDataset, Spread

CONSISTENT_CHECK = "is_consistent"

DESCRIPTION = """The dataset as it lies in `nnUNet_raw`: dataset.json, images and labels.

Materializing it reads every case once: missing files, shapes and spacings that differ, unknown label values, NaN, cut
files. Its data version is a digest of the contents, so that everything made from it turns stale when they change.
The folder itself is never written: cases in `quarantine` are left out, and headers repaired in copies."""


def build_raw_dataset(*, config: DatasetConfig, group: str) -> dg.AssetsDefinition:
    """Returns the asset of one declared dataset."""
    key = dg.AssetKey(dataset_key(config.dataset, "raw_dataset"))
    check = dg.AssetCheckSpec(
        CONSISTENT_CHECK,
        asset=key,
        blocking=True,
        description="No case contradicts dataset.json or itself; nothing downstream starts where one does.",
    )

    @dg.asset(
        key=key,
        group_name=group,
        kinds={"dataset", "file"},
        owners=config.owners,
        description=DESCRIPTION,
        check_specs=[check],
        code_version=_code_version(config),
    )
    def raw_dataset(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        # Numpy comes with it: 0.1 s, which every load of the definitions would pay.
        from nnunet_assets.nnunet.curated_dataset import look_at_raw_data

        settings = project.settings
        with shown_as_failure():
            _generate_phantom(config, settings, context)
            # The check stops this run only; the record stops later ones, of splits or plans alone.
            found, curated = look_at_raw_data(
                settings.roots,
                config.dataset,
                config.folds,
                config.curation,
                lambda done, n: _log_progress(context, done, n),
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(found.content_hash),
            metadata={**_metadata(found), **_curation_metadata(curated)},
            check_results=[_check(found, curated)],
        )

    return raw_dataset


def _code_version(config: DatasetConfig) -> str:
    # The reason for a quarantine is for people.
    declared = [sorted(config.quarantine), config.repair_headers_mm]
    return f"1 {json_sha256(declared)[:8]}" if any(declared) else "1"


def _generate_phantom(config: DatasetConfig, settings: Settings, context: dg.AssetExecutionContext) -> None:
    if config.phantom and not (settings.roots.raw / config.dataset).exists():
        from nnunet_assets.nnunet.phantom import write_phantom

        context.log.info(f"Generating {config.phantom.cases} phantom cases of {config.dataset}.")
        write_phantom(settings.roots.raw, config.dataset, config.phantom.cases, config.phantom.seed)


def _log_progress(context: dg.AssetExecutionContext, done: int, n: int) -> None:
    if done == n or done % max(1, n // 10) == 0:
        context.log.info(f"Read {done} of {n} cases.")


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
    rows = [
        dg.TableRecord({"label": name, "cases": label.n_cases, "volume (ml)": _spread([label.volume_ml])})
        for name, label in found.labels.items()
    ]
    return {
        "cases": dg.MetadataValue.int(found.n_cases),
        "channels": dg.MetadataValue.text(", ".join(found.description.channel_names)),
        "labels": dg.MetadataValue.table(rows) if rows else dg.MetadataValue.text("not read: not a NIfTI dataset"),
        "spacing_mm": dg.MetadataValue.text(_spread(found.spacing_mm)),
        "shape_voxels": dg.MetadataValue.text(_spread(found.shape)),
        "folder": dg.MetadataValue.path(found.folder),
        "content_hash": dg.MetadataValue.text(found.content_hash),
    }


def _spread(axes: "Sequence[Spread | None] | None") -> str:
    """Returns `1 (0.95 to 1.05) x ...`: median and range along each axis of the file, X first."""
    if axes is None or None in axes:
        return "unknown"
    return " x ".join(f"{a.median:.4g} ({a.minimum:.4g} to {a.maximum:.4g})" for a in axes if a)
