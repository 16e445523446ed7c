"""Batch and patch size of one's own: plans derived from a dataset's, with everything else as nnU-Net planned it.

The derived plans are named after what they change (`nnUNetPlans_bs8_ps64x64`), so that a file of this name is the same
for everybody who shares the preprocessed data. Each configuration that the sizes fit is in them, whole; the others are
left out, since under that name they would not be what it says. Their cases are the dataset's own: `data_identifier`
stays, and preprocessing reads neither size.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import next_stages, planned_in, resolved

DERIVED_FROM = "derived_from"
"""In derived plans: the identifier of those that they were made from. nnU-Net passes over what it does not know."""


@dataclass(frozen=True)
class PlanSizes:
    """What plans are derived with.

    Attributes:
        batch_size: Patches in a batch; None: as planned.
        patch_size: Voxels along each axis, in nnU-Net's order (z, y, x, or y, x in 2D); None: as planned.
    """

    batch_size: int | None = None
    patch_size: tuple[int, ...] | None = None

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return self.batch_size is not None or self.patch_size is not None

    def plans_name(self, plans: str) -> str:
        """Returns the identifier of the derived plans; with nothing to change that of the plans themselves."""
        batch = "" if self.batch_size is None else f"_bs{self.batch_size}"
        patch = "" if self.patch_size is None else f"_ps{by_axis(self.patch_size)}"
        return f"{plans}{batch}{patch}"

    @classmethod
    def named(cls, name: str, plans: str) -> "PlanSizes":
        """Returns by what derived plans differ from others, by both names; nothing where these are not derived so."""
        found = re.fullmatch(rf"{re.escape(plans)}(?:_bs([0-9]+))?(?:_ps([0-9]+(?:x[0-9]+)*))?", name)
        if found is None:
            return cls()
        patch = tuple(map(int, found[2].split("x"))) if found[2] else None
        return cls(int(found[1]) if found[1] else None, patch)

    def problem_with(self, configuration: str, plan: Mapping[str, Any] | None) -> str | None:
        """Returns why a configuration cannot have the sizes, in a sentence; None: it can, as far as is known.

        Args:
            configuration: Its name, which says how many axes it has where it begins with 2d or 3d.
            plan: With what it inherits; None: nothing is planned yet.
        """
        if self.patch_size is None:
            return None
        shown = by_axis(self.patch_size)
        n_axes = _n_axes(configuration, plan)
        if n_axes not in (None, len(self.patch_size)):
            order = "y, x" if n_axes == 2 else "z, y, x"
            return f"patch_size is {shown}, and {configuration} has {n_axes} axes. Give {n_axes} numbers ({order})."
        factors = pooled_by(plan or {})
        if factors is None or len(factors) != len(self.patch_size):
            return None
        pooling = f"The network of {configuration} makes a patch {by_axis(factors)} times smaller"
        if odd := [axis for axis, factor in enumerate(factors) if self.patch_size[axis] % factor]:
            nearest = [max(2, round(size / by)) * by for size, by in zip(self.patch_size, factors, strict=True)]
            wrong = ", ".join(f"{self.patch_size[axis]} is no multiple of {factors[axis]}" for axis in odd)
            return f"patch_size is {shown}. {pooling}, and {wrong}. {by_axis(nearest)} would do."
        if self.patch_size == factors:
            return (
                f"patch_size is {shown}. {pooling}, and of the one voxel that would be left no normalization knows a "
                f"spread. {by_axis([2 * factor for factor in factors])} would do."
            )
        return None

    def derived(self, content: Mapping[str, Any], source: Path | str) -> dict[str, Any]:
        """Returns the plans that are derived from those of a file.

        Args:
            content: Of the file.
            source: The file, for messages.

        Raises:
            PlanningError: Its configurations are none.
        """
        planned = resolved(planned_in(content, source), source)
        fitting = {
            name: {**plan, **self._changes()} for name, plan in planned.items() if not self.problem_with(name, plan)
        }
        return {
            **content,
            "plans_name": self.plans_name(str(content.get("plans_name"))),
            DERIVED_FROM: content.get("plans_name"),
            "configurations": {name: _among(plan, fitting) for name, plan in fitting.items()},
        }

    def _changes(self) -> dict[str, Any]:
        batch = {} if self.batch_size is None else {"batch_size": self.batch_size}
        return {**batch, **({} if self.patch_size is None else {"patch_size": list(self.patch_size)})}


def by_axis(sizes: Sequence[int]) -> str:
    """Returns `64x64x32`."""
    return "x".join(map(str, sizes))


def pooled_by(plan: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Returns by how much the network of a plan makes each axis smaller; None: its plan does not say."""
    try:
        strides = plan["architecture"]["arch_kwargs"]["strides"]
        each = [(step,) * len(plan["patch_size"]) if isinstance(step, int) else tuple(step) for step in strides]
        return tuple(math.prod(map(int, axis)) for axis in zip(*each, strict=True)) or None
    except (LookupError, TypeError, ValueError):
        return None


def _n_axes(configuration: str, plan: Mapping[str, Any] | None) -> int | None:
    if plan is not None and isinstance(planned := plan.get("patch_size"), list | tuple):
        return len(planned)
    named = re.match(r"([23])d(_|$)", configuration)
    return int(named[1]) if named else None


def _among(plan: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plan that inherits nothing, with those of its next stages that are there: nnU-Net looks each up."""
    alone = {key: value for key, value in plan.items() if key not in ("inherits_from", "next_stage")}
    stages = [stage for stage in next_stages(plan) if stage in there]
    return {**alone, **({"next_stage": stages[0] if len(stages) == 1 else stages} if stages else {})}
