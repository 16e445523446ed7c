"""The steps by which nnU-Net cleans up a mask: of some labels together only the largest component stays.

Components are connected by faces, edges and corners; of equally large ones all stay; what goes becomes background.
Steps are taken one after the other, and the result depends on their order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.errors import PackageError

POSTPROCESSING_FILE = "postprocessing.json"

STEP_FUNCTION = "remove_all_but_largest_component_from_segmentation"
"""nnU-Net's name of what a step does; it has no other."""

Step = tuple[int, ...]
"""Label values, ascending: of their union the largest component stays."""


def steps_to_json(steps: Sequence[Step]) -> dict[str, Any]:
    """Returns the steps as nnU-Net writes them into its own postprocessing.json."""
    return {
        "postprocessing_fns": [STEP_FUNCTION] * len(steps),
        "postprocessing_kwargs": [{"labels_or_regions": list(step)} for step in steps],
    }


def parse_steps(content: Mapping[str, Any], file: Path) -> tuple[Step, ...]:
    """Returns the steps that a postprocessing.json says, of ours or of nnU-Net's.

    Args:
        content: Its JSON object.
        file: Where it is from, for the message.

    Raises:
        PackageError: It asks for what nnU-Net does not do, or says nothing of steps.
    """
    functions, arguments = content.get("postprocessing_fns"), content.get("postprocessing_kwargs")
    if not isinstance(functions, list) or not isinstance(arguments, list) or len(functions) != len(arguments):
        raise PackageError(
            f"{file} does not say which postprocessing it means: nnU-Net's has `postprocessing_fns` and, as many, "
            "`postprocessing_kwargs`. Write it anew, or delete it for masks as they are predicted."
        )
    if odd := [name for name in functions if name != STEP_FUNCTION]:
        raise PackageError(
            f"{file} asks for {odd[0]!r}, which is not nnU-Net's one step, {STEP_FUNCTION}. Delete the file for masks "
            "as they are predicted."
        )
    return tuple(_step(one, file) for one in arguments)


def _step(arguments: Any, file: Path) -> Step:
    """Returns a step from nnU-Net's keyword arguments: a label, labels, or regions, which are labels together."""
    wanted = arguments.get("labels_or_regions") if isinstance(arguments, dict) else None
    labels = _labels(wanted)
    known = {"labels_or_regions", "background_label"}
    if not labels or set(arguments) - known or arguments.get("background_label", 0) != 0:
        raise PackageError(
            f"{file} has a step that nnU-Net does not take: {arguments!r}. A step names labels from 1 under "
            "`labels_or_regions`, and fills with background, 0."
        )
    return tuple(sorted(set(labels)))


def _labels(wanted: Any) -> list[int]:
    """Returns the labels in a label, or in a list of these however deep; empty where anything else is in it."""
    if isinstance(wanted, list):
        parts = [_labels(one) for one in wanted]
        return [label for part in parts for label in part] if all(parts) else []
    is_label = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0
    return [wanted] if is_label else []
