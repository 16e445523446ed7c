"""What the web UI shows of a fold beside its result, where people asked to watch its training."""

import base64

import dagster as dg

from nnunet_assets.core.fold.iterations import GRADIENT_SPIKES, SECONDS, WAIT
from nnunet_assets.core.training.panel_files import panel_files
from nnunet_assets.reports.figures.gradient_curve import gradient_curve_png
from nnunet_assets.reports.figures.small_picture import small_jpeg
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import is_local
from nnunet_assets.workflows.fold.train import TrainedFold


def shows_pictures(instance: dg.DagsterInstance, settings: Settings) -> bool:
    """Says whether pictures of cases may go into Dagster's database: it is on this machine, or the user agreed."""
    url = getattr(instance.event_log_storage, "postgres_url", None)
    return settings.share_files or url is None or is_local(url)


def watched_metadata(trained: TrainedFold, *, with_pictures: bool) -> dict[str, dg.MetadataValue]:
    """Returns the last panels, the gradient's curve and its spikes, the time of an iteration, and the comment.

    Args:
        trained: The fold.
        with_pictures: Whether slices of cases may be shown; where their files lie is said in any case.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    if comment := trained.request.options.watch.comment:
        metadata["comment"] = dg.MetadataValue.text(comment)
    pictures = list(panel_files(trained.finished.folder).values())
    if pictures:
        metadata["panels_folder"] = dg.MetadataValue.path(pictures[-1].parent)
    if pictures and with_pictures:
        metadata["panels"] = _picture("panels", small_jpeg(pictures[-1].read_bytes()), "jpeg")
    if (curve := gradient_curve_png(trained.records)) is not None:
        metadata |= {"gradient_norm": _picture("gradient norm", curve, "png"), **_of_iterations(trained)}
    return metadata


def _of_iterations(trained: TrainedFold) -> dict[str, dg.MetadataValue]:
    epochs = [record.values for record in trained.records if record.kind == "epoch"]
    spikes = {record.epoch: n for record in trained.records if (n := record.values.get(GRADIENT_SPIKES))}
    named = f" (epochs {', '.join(map(str, list(spikes)[:10]))}{', ...' if len(spikes) > 10 else ''})" if spikes else ""
    seconds = [values[SECONDS] for values in epochs if values.get(SECONDS) is not None]
    waits = [values[WAIT] for values in epochs if values.get(WAIT) is not None]
    metadata: dict[str, dg.MetadataValue] = {
        "gradient_spikes": dg.MetadataValue.text(f"{sum(map(int, spikes.values()))}{named}")
    }
    if seconds:
        waited = f", {sum(waits) / len(waits):.3f} s of it waiting for the batch" if waits else ""
        metadata["iteration_time"] = dg.MetadataValue.text(f"{sum(seconds) / len(seconds):.3f} s{waited}")
    return metadata


def _picture(name: str, content: bytes, form: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{name}](data:image/{form};base64,{base64.b64encode(content).decode()})")
