"""What the web UI shows of a fold that is finished."""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from nnunet_assets.assets.events.tables import number_metadata
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.fold.version_history import mixed_in_words
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.amounts import bytes_text, duration_text
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.errors import first_offenders
from nnunet_assets.reports.figures.curves import learning_curve_png
from nnunet_assets.reports.text.estimates import mean_text
from nnunet_assets.workflows.fold.train import TrainedFold

NO_DICE = "none: nnU-Net validates this model on the cases that it was trained on, which says nothing about new ones"


def fold_metadata(trained: TrainedFold) -> dict[str, dg.MetadataValue]:
    """Returns a fold's scores, its learning curve, what its training took, and its MLflow run."""
    manifest = trained.finished.manifest
    stopped, mixed = manifest.details.get("stopped_early"), mixed_in_words(manifest.mixed_versions)
    restored = manifest.details.get("restored_epoch")
    picture = base64.b64encode(learning_curve_png(trained.records)).decode()
    return {
        **_scores(trained.scores),
        "learning_curve": dg.MetadataValue.md(f"![learning curve](data:image/png;base64,{picture})"),
        "epochs": dg.MetadataValue.int(manifest.n_epochs),
        **({"stopped_early": dg.MetadataValue.text(stopped)} if stopped else {}),
        **(
            {"continues": dg.MetadataValue.text(_continued(found))}
            if (found := manifest.details.get(CONTINUES))
            else {}
        ),
        **({"weights_of_epoch": dg.MetadataValue.int(restored)} if restored is not None else {}),
        **({"mixed_versions": dg.MetadataValue.text(mixed)} if mixed else {}),
        **{f"{section}_seconds": number_metadata(seconds) for section, seconds in manifest.seconds.items()},
        **{f"peak_memory_{kind}_bytes": number_metadata(n) for kind, n in manifest.peak_memory_bytes.items()},
        **{f"{section}_time": dg.MetadataValue.text(duration_text(s)) for section, s in manifest.seconds.items()},
        **{
            f"peak_memory_{kind}": dg.MetadataValue.text(bytes_text(n))
            for kind, n in manifest.peak_memory_bytes.items()
        },
        "device": dg.MetadataValue.text(manifest.device),
        **_job(manifest.details.get("job") or {}),
        "folder": dg.MetadataValue.path(trained.finished.folder),
        "versions": dg.MetadataValue.json(dict(manifest.versions)),
        **_tracking(trained),
    }


def _continued(found: Mapping[str, Any]) -> str:
    return f"{found.get('experiment')}, after its {found.get('n_epochs')} epochs"


def _job(job: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Returns the cluster's job that finished the fold, with where it ran and what it asked for."""
    if not job:
        return {}
    return {
        "job": dg.MetadataValue.text(f"{job.get('engine')} {job.get('id')} on {job.get('node')}"),
        "job_requested": dg.MetadataValue.json(dict(job.get("requested", {}))),
    }


def _scores(summary: ScoredSummary | None) -> dict[str, dg.MetadataValue]:
    if summary is None:
        return {"dice": dg.MetadataValue.text(NO_DICE)}
    dice = {f"dice/{name}": label.dice.pooled.mean for name, label in summary.labels.items()}
    return {
        "headline": dg.MetadataValue.text(_headline(summary)),
        **{name: _number(mean) for name, mean in {"dice": summary.foreground.dice.pooled.mean, **dice}.items()},
        "validation_cases": dg.MetadataValue.int(summary.n_cases),
    }


def _headline(summary: ScoredSummary) -> str:
    """Returns the Dice in one line, with three decimals: `Dice 0.530 (anterior 0.060, posterior 1.000), 8 cases`."""
    labels = [f"{name} {mean_text(label.dice.pooled)}" for name, label in summary.labels.items()]
    return f"Dice {mean_text(summary.foreground.dice.pooled)} ({first_offenders(labels)}), {summary.n_cases} cases"


def plotted(value: float) -> dg.MetadataValue:
    """Returns a score that Dagster draws over partitions and time, and prints with all the digits that it gets."""
    return dg.MetadataValue.float(float(fixed(value)))


def _number(value: float | None) -> dg.MetadataValue:
    return dg.MetadataValue.text("undefined: the label is in no case") if value is None else plotted(value)


def _tracking(trained: TrainedFold) -> dict[str, dg.MetadataValue]:
    """Returns how many records MLflow has and how many wait, and the link to the run."""
    report, url = trained.tracking, trained.run_url
    if report is None:
        return {}
    run: dg.MetadataValue | None = dg.MetadataValue.text(report.run_id) if report.run_id else None
    shown: dict[str, dg.MetadataValue | None] = {
        "mlflow_records_sent": dg.MetadataValue.int(report.n_sent),
        "mlflow_records_waiting": dg.MetadataValue.int(report.n_waiting),
        "mlflow_problem": dg.MetadataValue.text(report.problem) if report.problem else None,
        "mlflow_run": dg.MetadataValue.url(url) if url else run,
    }
    return {name: value for name, value in shown.items() if value is not None}
