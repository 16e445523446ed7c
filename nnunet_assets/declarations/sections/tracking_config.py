"""What an experiment says of its runs in MLflow: whether there are any, their name, and what else stands in them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from nnunet_assets.declarations.fields import Declaration

OWNED = ("nnunet_assets.", "nnunet_tracker.", "mlflow.")
"""How the tags begin that are not for users to write."""
MAX_NOTES = 5000
"""Characters; of a tag current MLflow takes 8000, older servers no more than this."""


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key in tags:
        if not re.fullmatch(r"[\w.\- /]{1,250}", key) or key.startswith("/") or ".." in key:
            raise ValueError(f"{key!r} cannot be a tag in MLflow: letters, digits, spaces and _ - . / make its name")
        if key.startswith(OWNED) or key == "dagster_run_id":
            raise ValueError(f"the tag {key!r} is one that {key.split('.')[0]} writes itself; choose another name")
    return tags


class TrackingConfig(Declaration):
    """What is in MLflow of an experiment's folds and of their summary, beside what is there anyway."""

    enabled: bool = True
    """Whether they have runs in MLflow. The fold's own journal and files are the same either way."""
    files: bool = True
    """Whether files go along (logs, plans, tables, figures); metrics, parameters and tags do anyway."""
    run_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What runs are called, behind the fold. {time} is when it was asked for. Absent: what the experiment is."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=MAX_NOTES)]], AfterValidator(_tags)] = {}
    """Tags of your own, such as {approach: baseline}, to search and group runs by."""
    notes: Annotated[str, Field(max_length=MAX_NOTES)] = ""
    """Shown as the description of each run; Markdown."""
