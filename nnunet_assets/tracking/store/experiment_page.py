"""What makes MLflow's pages of an experiment those of trainings: its kind, a view with the Dice, and a link to it.

MLflow has these as tags of an experiment. What a user set there stays. MLflow 3.17 opens an experiment by what the
browser was last told, not by its kind: the link says it.
"""

import json
from collections.abc import Mapping

from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.run_words import NOTES as DESCRIPTION

KIND, KIND_OF_TRAININGS = "mlflow.experimentKind", "custom_model_development"
"""Without it MLflow takes an experiment for one with language models: token usage, and costs of "$0.00"."""
VIEW_KEY = "nnunet_assets"
VIEW = f"mlflow.sharedViewState.{VIEW_KEY}"
"""One of the experiment's saved views, whose content MLflow keeps as JSON in JSON."""

VIEW_NAME = "Dice"
COLUMNS = (
    names.VAL_DICE_MEAN,
    "dice_ci95_low_pooled",
    "dice_ci95_high_pooled",
    names.FOLDS_FINISHED,
)
_PIXELS = {"attributes.`Run Name`": 340, "runDateAndNestInfo": 150, **{f"metrics.`{name}`": 150 for name in COLUMNS}}
"""Names of runs, and of metrics, are longer than MLflow's columns for them; whatever is not here comes after it."""
VIEW_STATE = {
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "selectedColumns": [f"metrics.`{name}`" for name in COLUMNS],
    "columnOrder": list(_PIXELS),
    "columnWidths": _PIXELS,
}


def runs_page(experiment_id: str) -> str:
    """Returns the link, from any page of the same server, to the runs with their Dice."""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW_KEY}"


def missing_tags(tags: Mapping[str, str], experiment_id: str) -> dict[str, str]:
    """Returns the tags that an experiment is to get; an older version's view is replaced.

    Args:
        tags: Those that it has.
        experiment_id: MLflow's.
    """
    wanted = {KIND: KIND_OF_TRAININGS, VIEW: _view(), DESCRIPTION: _description(experiment_id)}
    return {key: text for key, text in wanted.items() if key not in tags or (key == VIEW and tags[key] != text)}


def _description(experiment_id: str) -> str:
    return (
        f"Cross-validations of nnU-Net, each with its folds below it. [Runs and their Dice]({runs_page(experiment_id)})"
    )


def _view() -> str:
    return json.dumps({"name": VIEW_NAME, "createdAt": 0, "updatedAt": 0, "state": json.dumps(VIEW_STATE)})
