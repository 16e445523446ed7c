"""The configurations of a plans file as values: nnU-Net's own four and those that users add, with what each inherits.

As `nnunetv2.utilities.plans_handling.plans_handler.PlansManager` reads them, which a test holds against this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import CONFIGURATIONS
from nnunet_assets.errors import PlanningError, did_you_mean

PLANNERS = {
    "nnUNetPlans": "ExperimentPlanner",
    "nnUNetResEncUNetMPlans": "nnUNetPlannerResEncM",
    "nnUNetResEncUNetLPlans": "nnUNetPlannerResEncL",
    "nnUNetResEncUNetXLPlans": "nnUNetPlannerResEncXL",
}
"""nnU-Net's plans identifiers and the planners that make them; any other name is the user's own plans file."""

Planned = Mapping[str, Mapping[str, Any]]
"""What a plans file holds under `configurations`: name to what it says itself."""


def planned_in(content: Mapping[str, Any], source: Path | str) -> Planned:
    """Returns what a plans file holds of its configurations; none where it names none.

    Raises:
        PlanningError: That is no mapping of names to what each says.
    """
    planned = content.get("configurations", {})
    if not isinstance(planned, dict):
        raise PlanningError(f"In {source} `configurations` is {planned!r:.40}, no names with plans. Restore the file.")
    if odd := [name for name, plan in planned.items() if not isinstance(plan, dict)]:
        raise PlanningError(f"In {source} the configuration {odd[0]} is {planned[odd[0]]!r:.40}. Restore the file.")
    return planned


def with_inherited(planned: Planned, configuration: str, source: Path | str) -> dict[str, Any]:
    """Returns what a configuration says, over what it inherits from others, over however many of them.

    Args:
        planned: Of the plans.
        configuration: One that the plans have.
        source: The plans file, for messages.

    Raises:
        PlanningError: It inherits from one that the plans do not have, or in a circle; nnU-Net refuses both.
    """
    line = lineage(planned, configuration, source)
    return {key: value for name in reversed(line) for key, value in planned[name].items()}


def lineage(planned: Planned, configuration: str, source: Path | str) -> list[str]:
    """Returns a configuration and those that it inherits from, the nearest first.

    Raises:
        PlanningError: As `with_inherited`.
    """
    line = [configuration]
    while "inherits_from" in planned[line[-1]]:
        parent = planned[line[-1]]["inherits_from"]
        if parent in line:
            raise PlanningError(
                f"In {source} configurations inherit from each other in a circle: {' from '.join([*line, parent])}. "
                "Correct their `inherits_from`."
            )
        if not isinstance(parent, str) or parent not in planned:
            raise PlanningError(
                f"In {source} the configuration {line[-1]} inherits from {parent!r}, which is not there."
                f"{did_you_mean(parent, planned)} Available: {', '.join(planned)}. Correct its `inherits_from`."
            )
        line.append(parent)
    return line


def resolved(planned: Planned, source: Path | str) -> dict[str, dict[str, Any]]:
    """Returns every configuration with what it inherits; those that inherit from nothing that is there are left out.

    nnU-Net looks at the one alone that it is to use, so that a mistake in another one keeps nobody from training.
    """
    found = {}
    for name in planned:
        try:
            found[name] = with_inherited(planned, name, source)
        except PlanningError:
            continue
    return found


def extends_standard(configuration: str) -> bool:
    """Says whether a name is one of nnU-Net's four, or begins with one as users name theirs: `3d_fullres_bs8`."""
    return configuration in CONFIGURATIONS or configuration.startswith(tuple(f"{name}_" for name in CONFIGURATIONS))


def unknown_configuration(
    configuration: str, plans: str, available: Sequence[str] | None, source: Path | str
) -> str | None:
    """Returns why an experiment cannot have this configuration, as far as is known before anything is planned.

    Args:
        configuration: Its name.
        plans: Plans identifier.
        available: The configurations of the plans file; None: there is none yet.
        source: Where the plans file is, or would be.

    Returns:
        A sentence; None: the plans have it, or may get it: nnU-Net's planner may make its own four, a user may add one
        to plans that are not there yet.
    """
    if available is not None and configuration in available:
        return None
    if available is None and (plans not in PLANNERS or extends_standard(configuration)):
        return None
    if configuration in CONFIGURATIONS:  # made by the planner, or missed when the cases are prepared
        return None
    if available is not None:
        near = did_you_mean(configuration, [*available, *CONFIGURATIONS])
        return f"{configuration} is not in {source}.{near} Available: {', '.join(available)}."
    return (
        f"{configuration} is not allowed.{did_you_mean(configuration, CONFIGURATIONS)} Allowed: "
        f"{', '.join(CONFIGURATIONS)}, which nnU-Net plans; or one of your own that you add to the plans, named after "
        "one of them, such as 3d_fullres_bs8."
    )


def without_own(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a plans file as nnU-Net's planner made it: without configurations that a user added."""
    return _only(content, CONFIGURATIONS)


def own_configurations(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configurations of a plans file that nnU-Net's planner does not make."""
    return {name: plan for name, plan in content.get("configurations", {}).items() if name not in CONFIGURATIONS}


def plans_digests(content: Mapping[str, Any], configuration: str, source: Path | str) -> tuple[str, str]:
    """Returns the digest of plans for a fold of one configuration, and what older folds have in its place.

    Configurations that a user added count where the one that is trained is one of them or inherits from them. Older
    folds have the digest of the whole file, where one more configuration made other plans of it.

    Raises:
        PlanningError: As `with_inherited` and `planned_in`.
    """
    planned = planned_in(content, source)
    used = lineage(planned, configuration, source) if configuration in planned else []
    return json_sha256(_only(content, [*CONFIGURATIONS, *used])), json_sha256(content)


def _only(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    if "configurations" not in content:
        return dict(content)
    planned = {name: plan for name, plan in content["configurations"].items() if name in names}
    return {**content, "configurations": planned}


def next_stages(plan: Mapping[str, Any]) -> list[str]:
    """Returns the configurations that read the predictions of one, which nnU-Net takes as a name or a list of them."""
    stages = plan.get("next_stage") or []
    return [stages] if isinstance(stages, str) else list(stages)
