"""An adopted fold beside those that were trained here: its run in MLflow, and its materialization in Dagster."""

import json
import os
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.fold_model import fold_model_key
from nnunet_assets.assets.fold_uploads import files_of, history
from nnunet_assets.core.commit import UNKNOWN, commit_sha256
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.core.journal import Record, journal_path, read_records
from nnunet_assets.core.provenance import write_atomically
from nnunet_assets.core.redaction import redacted
from nnunet_assets.nnunet.adoption import Adopted
from nnunet_assets.nnunet.results import fold_results_in
from nnunet_assets.reports.case_scores import cases_to_csv
from nnunet_assets.reports.curves import learning_curve_png
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.destination import Destination
from nnunet_assets.tracking.fold_figures import ending_metrics
from nnunet_assets.tracking.fold_run import Ending, FoldRun, attempt_of, contents_path
from nnunet_assets.tracking.fold_tracker import TrackingReport, send_waiting
from nnunet_assets.tracking.names import ADOPTED, HOST, fold_tags, run_title


def back_fill(settings: Settings, adopted: Adopted) -> TrackingReport:
    """Sends the curves, scores and files of an adopted fold to MLflow, at the times that its training had.

    What is there already is not sent again. A fold that a tracked trainer made has its run: it is only brought up to
    date.
    """
    folder = adopted.folder
    records = list(read_records(journal_path(folder)))
    known = FoldRun.load(folder)
    if known is None or known.attempt != attempt_of(records[0]):
        _run(settings, adopted, records).save(folder)
    return send_waiting(
        settings.tracking_uri,
        settings.artifacts,
        folder,
        share_files=settings.share_files,
        preprocessed=settings.roots.preprocessed,
    )


def materialization(adopted: Adopted) -> dg.AssetMaterialization:
    """Returns what Dagster records of an adopted fold, with what is unknown of it."""
    manifest = adopted.manifest
    summary = summarize(adopted.experiment, [manifest.fold], fold_results_in(adopted.folder.parent, [manifest.fold]))
    dice = summary.foreground.dice.pooled.mean
    return dg.AssetMaterialization(
        asset_key=fold_model_key(adopted.experiment),
        partition=manifest.fold,
        description="Trained elsewhere, and adopted with what its files prove.",
        metadata={
            **({} if dice is None else {"dice": dg.MetadataValue.float(dice)}),
            "validation_cases": dg.MetadataValue.int(summary.n_cases),
            "epochs": dg.MetadataValue.int(manifest.n_epochs),
            "device": dg.MetadataValue.text(manifest.device),
            "folder": dg.MetadataValue.path(adopted.folder),
            "unknown": dg.MetadataValue.text(", ".join(manifest.details["unknown"])),
        },
        tags={"dagster/data_version": commit_sha256(adopted.folder)},
    )


def is_in_project(settings: Settings, adopted: Adopted) -> bool:
    """Says whether the fold lies where the project's assets look for it."""
    place = adopted.experiment.fold_folder(settings.roots, adopted.folder.name)
    return place.is_dir() and place.samefile(adopted.folder)


def _run(settings: Settings, adopted: Adopted, records: list[Record]) -> FoldRun:
    """Returns the run of a training that is over, with all that is to be sent."""
    folder, manifest, experiment = adopted.folder, adopted.manifest, adopted.experiment
    host = manifest.details["host"]
    files = [*files_of(folder), *_made(adopted, records)]
    ending = Ending(
        "FINISHED",
        records[-1].time_ms,
        [os.path.relpath(path, folder) for path in files],
        ending_metrics(records, manifest),
    )
    destination = Destination(settings.tracking_uri, settings.artifacts, settings.share_files)
    return FoldRun(
        redacted(settings.tracking_uri),
        settings.tracking_experiment(experiment.dataset),
        f"{run_title(experiment)} {folder.name}",
        {
            **fold_tags(experiment, folder.name, manifest.inputs, validated=manifest.validated),
            ADOPTED: "yes",
            **({HOST: host} if host != UNKNOWN else {}),
        },
        attempt=attempt_of(records[0]),
        ending=ending,
        files=ending.files if destination.takes_files else [],
    )


def _made(adopted: Adopted, records: list[Record]) -> list[Path]:
    """Writes what is made for the run; not splits and packages, which would be today's."""
    folder = adopted.folder
    summary = summarize(adopted.experiment, [folder.name], fold_results_in(folder.parent, [folder.name]))
    contents = {
        "history.json": (json.dumps(history(records), indent=2, ensure_ascii=False) + "\n").encode(),
        "validation_cases.csv": cases_to_csv(summary).encode(),
        "learning_curve.png": learning_curve_png(records),
    }
    paths = []
    for name, content in contents.items():
        write_atomically(contents_path(folder, name), content)
        paths.append(contents_path(folder, name))
    return paths
