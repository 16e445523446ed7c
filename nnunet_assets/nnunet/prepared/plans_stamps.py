"""What the plans of a prepared dataset were made from: `PLANS.json` in its hidden folder."""

from collections.abc import Mapping
from typing import Any

from nnunet_assets.core.files.json_file import read_json, write_json_atomically
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder


def plans_stamp(prepared: PreparedFolder, plans: str) -> dict[str, Any] | None:
    """Returns what the plans were made from, as written by `stamp_plans`; None: not made by this project."""
    return read_json(prepared.own / f"{plans}.json")


def stamp_plans(prepared: PreparedFolder, plans: str, made_from: Mapping[str, Any], plans_hash: str | None) -> None:
    """Records what the plans are made from, and their digest; None while they are being made.

    What the planner says beside its plans may be among `made_from`.
    """
    write_json_atomically(prepared.own / f"{plans}.json", {**made_from, "plans_hash": plans_hash})
