"""What scripts give, as the journal holds it: numbers of whichever library, steps, texts."""

import json
import math
import operator
from collections.abc import Mapping
from typing import Any

from nnunet_assets.tracking.store.names import cut

MAX_STEP = 2**63 - 1
"""What the column of a database holds."""


def numbers_of(metrics: Mapping[str, Any]) -> tuple[dict[str, float | str], list[str]]:
    """Returns the values that are numbers, and why the others are not taken.

    An array and a tensor of one element are numbers too. What is not finite is a text, since JSON has no word
    for it: that a loss became `nan` is something to see.
    """
    found: dict[str, float | str] = {}
    reasons = []
    for name, value in metrics.items():
        try:
            number = float(value.item() if hasattr(value, "item") else value)
        except Exception as error:  # noqa: BLE001 (whatever a class of the script's own raises)
            reasons.append(f"{cut(str(name), 80)!r} ({type(error).__name__}): {error}")
            continue
        found[str(name)] = number if math.isfinite(number) else str(number)
    return found, reasons


def step_of(step: Any) -> int:
    """Returns a step as Python's number.

    Raises:
        ValueError: It is no whole number, or one that no database holds.
    """
    try:
        whole = int(step) if float(step).is_integer() else operator.index(step)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the step {step!r} is no whole number") from None
    if abs(whole) > MAX_STEP:
        raise ValueError(f"the step {step!r} is beyond what MLflow's databases hold")
    return whole


def config_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters as JSON has them: what it does not know is a text, and so is what is not finite.

    Raises:
        TypeError: It is no mapping.
        ValueError: It holds itself.
    """
    content: dict[str, Any] = json.loads(
        json.dumps(_with_texts(config), default=str), parse_constant=lambda text: str(float(text))
    )
    return content


def tags_of(tags: Mapping[str, Any]) -> dict[str, str]:
    """Returns tags, whose names and values are texts."""
    return {str(key): str(value) for key, value in tags.items()}


def _with_texts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a mapping whose keys are texts, on every level: JSON takes no tuple, nor a number of numpy, for one."""
    return {str(key): _with_texts(value) if isinstance(value, Mapping) else value for key, value in config.items()}
