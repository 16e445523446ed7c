"""What each label of a case scores after every combination of postprocessing steps that may be taken.

Steps are nnU-Net's: the largest component of the whole foreground, then of each label or region in the order of
dataset.json. Labels do not overlap, so that a label's score hangs on the first step and on its own alone: four
combinations, however many labels there are. Regions overlap, and a step on one changes others: there it is every
combination, of at most `MAX_REGION_STEPS` steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.model.largest_component import Voxels, postprocessed, removed_by
from nnunet_assets.core.model.postprocessing_steps import Step

VERSION = 1
"""Raised whenever the same voxels give another number, so that what was kept is computed anew."""

MAX_REGION_STEPS = 8
"""256 combinations; BraTS has 4 steps and 16."""

REFERENCE_VOXELS = "reference_voxels"
"""The key of a label's size in the reference, beside those of the combinations."""

StepDice = Mapping[str, Mapping[str, float | int | None]]
"""By label name: combination to Dice (None: undefined), and `REFERENCE_VOXELS`."""


@dataclass(frozen=True)
class StepPlan:
    """The steps that may be taken, in the order in which they are.

    Attributes:
        steps: By their labels; no two alike.
        owners: The label or region of each; None: the whole foreground.
        labels: Label name to the voxel values that it covers, in the order of dataset.json.
        matters: Label name to the places of the steps that its score hangs on.
        ignore_value: Of voxels that count for nothing; None: there are none.
        left_out: Regions whose step is not tried, since there are too many.
    """

    steps: tuple[Step, ...]
    owners: tuple[str | None, ...]
    labels: Mapping[str, tuple[int, ...]]
    matters: Mapping[str, tuple[int, ...]]
    ignore_value: int | None = None
    left_out: tuple[str, ...] = ()

    def combinations(self, label_name: str) -> list[str]:
        """Returns the keys of a label's scores: `00`, `10`, ... with a digit for each step that matters to it."""
        n = len(self.matters[label_name])
        return ["".join(str(code >> place & 1) for place in range(n)) for code in range(1 << n)]


def step_plan(description: DatasetDescription) -> StepPlan:
    """Returns which steps nnU-Net could take for a dataset."""
    labels = {name: description.values_of(name) for name in description.foreground}
    named: dict[Step, str | None] = {tuple(sorted({value for values in labels.values() for value in values})): None}
    for name, values in labels.items():
        # Of one label it is the step of the whole foreground, as of a region that covers all.
        named.setdefault(tuple(sorted(set(values))), name)
    left_out: tuple[str, ...] = ()
    steps = tuple(named)
    if description.has_regions:
        left_out = tuple(str(named[step]) for step in steps[MAX_REGION_STEPS:])
        steps = steps[:MAX_REGION_STEPS]
    owners = tuple(named[step] for step in steps)
    places = {name: place for place, name in enumerate(owners)}
    everything = tuple(range(len(steps)))
    return StepPlan(
        steps=steps,
        owners=owners,
        labels=labels,
        matters={
            name: everything if description.has_regions else (0, *([places[name]] if name in places else []))
            for name in labels
        },
        ignore_value=description.ignore_label,
        left_out=left_out,
    )


def case_step_scores(reference: Voxels, prediction: Voxels, plan: StepPlan) -> dict[str, dict[str, float | int | None]]:
    """Returns what each label of a case scores after every combination of the steps that matter to it.

    Args:
        reference: Voxel values that dataset.json declares.
        prediction: Likewise, of the same shape.
        plan: The steps.
    """
    box = _box(reference, prediction)
    reference, prediction = reference[box], prediction[box]
    counts = None if plan.ignore_value is None else reference != plan.ignore_value
    references = {name: _mask(reference, values) for name, values in plan.labels.items()}
    if counts is not None:
        references = {name: mask & counts for name, mask in references.items()}
    case = _Case(plan, references, counts)
    is_each_alone = any(len(places) < len(plan.steps) for places in plan.matters.values())
    found = case.label_by_label(prediction) if is_each_alone else case.every_combination(prediction)
    return {
        name: {
            REFERENCE_VOXELS: int(np.count_nonzero(references[name])),
            **dict(zip(plan.combinations(name), scores, strict=True)),
        }
        for name, scores in found.items()
    }


@dataclass(frozen=True)
class _Case:
    plan: StepPlan
    references: Mapping[str, NDArray[np.bool_]]
    counts: NDArray[np.bool_] | None

    def label_by_label(self, prediction: Voxels) -> dict[str, list[float | None]]:
        """Returns the scores where a label's own step leaves all others as they are."""
        plan = self.plan
        images = (prediction, postprocessed(prediction, plan.steps[:1]))
        found: dict[str, list[float | None]] = {}
        for name, places in plan.matters.items():
            found[name] = [self._dice(name, image) for image in images]
            if len(places) > 1:
                own = plan.steps[places[1]]
                found[name] += [
                    self._dice(name, postprocessed(image, [own])) if removed_by(image, own) else dice
                    for image, dice in zip(images, found[name], strict=True)
                ]
        return found

    def every_combination(self, prediction: Voxels) -> dict[str, list[float | None]]:
        """Returns the scores of images that take or leave each step; those of equal images are computed once."""
        rows = self._after(prediction, 0)
        return {name: [row[place] for row in rows] for place, name in enumerate(self.plan.labels)}

    def _after(self, image: Voxels, step: int) -> "list[tuple[float | None, ...]]":
        if step == len(self.plan.steps):
            return [tuple(self._dice(name, image) for name in self.plan.labels)]
        without = self._after(image, step + 1)
        changed = postprocessed(image, self.plan.steps[step : step + 1])
        after = without if changed is image else self._after(changed, step + 1)
        return [row for pair in zip(without, after, strict=True) for row in pair]

    def _dice(self, name: str, image: Voxels) -> float | None:
        predicted = _mask(image, self.plan.labels[name])
        if self.counts is not None:
            predicted &= self.counts
        n = int(np.count_nonzero(predicted)) + int(np.count_nonzero(self.references[name]))
        return 2 * int(np.count_nonzero(predicted & self.references[name])) / n if n else None


def _mask(image: Voxels, values: tuple[int, ...]) -> NDArray[np.bool_]:
    first, *others = values
    mask: NDArray[np.bool_] = image == first
    for value in others:
        mask |= image == value
    return mask


def _box(*images: Voxels) -> tuple[slice, ...]:
    """Returns the box beyond which all is background; one voxel where everything is."""
    from scipy.ndimage import find_objects

    first, *others = images
    is_there = first != 0
    for image in others:
        is_there |= image != 0  # in place: `np.logical_or.reduce` stacks copies of all
    found: list[tuple[slice, ...]] = find_objects(is_there.view(np.uint8))
    return found[0] if found else (slice(0, 1),) * is_there.ndim


def unchanged_scores(plan: StepPlan, dices: Mapping[str, float | None]) -> dict[str, dict[str, float | int | None]]:
    """Returns what a case scores of which the mask cannot be read any more: what it scored, whatever steps are taken.

    So it stays in every mean, and speaks for no step. A label of Dice 0 counts as one that the reference holds.

    Args:
        plan: The steps.
        dices: By label name, as the mask was scored; None: undefined.
    """
    return {
        name: {REFERENCE_VOXELS: int(dices[name] is not None), **dict.fromkeys(plan.combinations(name), dices[name])}
        for name in plan.labels
    }


def plain_scores(found: StepDice) -> dict[str, float | int | None]:
    """Returns each label's Dice without any step."""
    return {name: next(dice for key, dice in scores.items() if set(key) == {"0"}) for name, scores in found.items()}
