"""What a fold's MLflow run says of how the fold was trained, read back as it was sent.

Tags say which fold of which experiment it was and what it was made from (see `names.fold_tags`); parameters say how it
was trained. These lie whole in the artifact `params.json`, and as flat texts in the run itself: an artifact may never
have arrived. Whether what was read is what was sent shows in the training hash, which whoever asks computes again.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.fold.training_conditions import TrainingConditions
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explain

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FOLD_TYPES = ("fold", "final")
NEEDED_TAGS = (
    names.DATASET,
    names.CONFIGURATION,
    names.TRAINER,
    names.PLANS,
    names.FOLD,
    names.RAW_HASH,
    names.PLANS_HASH,
    names.SPLITS_HASH,
    names.TRAINING_HASH,
)


@dataclass(frozen=True)
class RecalledFold:
    """A fold as its run tells of it.

    Attributes:
        run_id: MLflow's.
        experiment: Which cross-validation.
        fold: `fold_0` ...
        overrides: Trainer attribute to value.
        options: Field of `TrainingOptions` to value; an older run lacks some, a newer one has more.
        num_epochs: How many epochs the trainer was to train; None: not known.
        device_kind: `cuda`, `cpu` or `mps`; None: not known.
        conditions: Under which it was trained.
        continues: The variant whose fold it went on with, as a declaration names it; None: it began by itself.
    """

    run_id: str
    experiment: Experiment
    fold: str
    overrides: Mapping[str, Any]
    options: Mapping[str, Any]
    num_epochs: int | None
    device_kind: str | None
    conditions: TrainingConditions
    continues: str | None = None


def recall_fold(destination: Destination, run_id: str) -> RecalledFold:
    """Returns the fold that a run is of.

    Args:
        destination: Where the run is.
        run_id: MLflow's.

    Raises:
        TrackingError: MLflow does not answer, has no such run, or the run is not that of a fold.
    """
    client = connect(destination)
    run = _run(client, run_id)
    tags = run.data.tags
    kind = tags.get(names.RUN_TYPE)
    if kind not in FOLD_TYPES:
        found = f"its tag {names.RUN_TYPE} is {kind!r}" if kind else f"it has no tag {names.RUN_TYPE}"
        raise TrackingError(
            f"The MLflow run {run_id} ({run.info.run_name}) is not that of a fold of nnunet_assets: {found}. Give the "
            "ID of a fold's run, as its page in MLflow shows it."
        )
    params = _whole_params(client, run_id) or unflattened(run.data.params)
    missing = [*(tag for tag in NEEDED_TAGS if tag not in tags), *({"overrides", "options"} - set(params))]
    if missing:
        raise TrackingError(
            f"The MLflow run {run_id} ({run.info.run_name}) does not say all of how its fold was trained: "
            f"{', '.join(missing)} missing. It ended before it had them, or they were deleted; take another run."
        )
    return _fold(run_id, tags, params)


def _fold(run_id: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> RecalledFold:
    experiment = Experiment(
        dataset=tags[names.DATASET],
        configuration=tags[names.CONFIGURATION],
        trainer=tags[names.TRAINER],
        plans=tags[names.PLANS],
        variant=tags.get(names.VARIANT),
    )
    inputs = FoldInputs(
        raw_hash=tags[names.RAW_HASH],
        plans_hash=tags[names.PLANS_HASH],
        splits_hash=tags[names.SPLITS_HASH],
        training_hash=tags[names.TRAINING_HASH],
    )
    device = params.get("device", {})
    return RecalledFold(
        run_id,
        experiment,
        tags[names.FOLD],
        overrides=params["overrides"],
        options=params["options"],
        num_epochs=params.get("trainer", {}).get("num_epochs"),
        device_kind=device.get("kind"),
        conditions=TrainingConditions(inputs, params.get("versions", {}), device.get("name"), tags.get(names.HOST)),
        continues=params.get(CONTINUES, {}).get("variant"),
    )


def _run(client: "MlflowClient", run_id: str) -> "Run":
    try:
        return client.get_run(run_id)
    except Exception as error:
        if getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise TrackingError(
                f"MLflow at {redacted(client.tracking_uri)} has no run {run_id!r}. Give the ID of a fold's run, as its "
                "page in MLflow shows it, and set MLFLOW_TRACKING_URI where the run is at another server."
            ) from error
        raise TrackingError(explain(error, client.tracking_uri).sentence) from error


def _whole_params(client: "MlflowClient", run_id: str) -> dict[str, Any] | None:
    """Returns what the artifact holds; None where it is not there, or cannot be had."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            content = load_json(Path(client.download_artifacts(run_id, names.PARAMS_FILE, folder)))
    except Exception:  # noqa: BLE001 (any artifact store raises its own; the flat parameters hold the same)
        return None
    return content if isinstance(content, dict) else None


def unflattened(params: Mapping[str, str]) -> dict[str, Any]:
    """Returns nested parameters of MLflow's flat texts; the inverse of `names.flattened`.

    A text that reads as a number, a truth value, `None` or JSON is taken for one: MLflow keeps no types.
    """
    nested: dict[str, Any] = {}
    for key, text in params.items():
        *groups, name = map(names.unescaped, key.split("/"))
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = _value(text)
    return nested


def _value(text: str) -> Any:
    words = {"None": None, "True": True, "False": False}
    if text in words:
        return words[text]
    if re.fullmatch(r"-?\d+", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d+(\.\d+)?(e[-+]\d+)?", text, re.ASCII):
        return float(text)
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
