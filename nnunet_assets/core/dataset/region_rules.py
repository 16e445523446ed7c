"""nnU-Net's rules for regions: labels that stand for several values, and the order in which they are painted.

At inference nnU-Net paints the regions one over the other: where region number i is predicted, the voxel gets number i
of `regions_class_order`. What was painted is read again by the regions, in every score. Only an order that gives each
label value back its own regions leaves a perfect prediction perfect.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nnunet_assets.errors import first_offenders

Regions = Mapping[str, frozenset[int]]
"""Name of a region to the label values that it covers, in the order of dataset.json; without background and ignore."""


@dataclass(frozen=True)
class Misread:
    """A label value that comes back from inference as something else.

    Attributes:
        value: The value in the label images.
        regions: The regions that cover it.
        painted: The value that a perfect prediction of these regions is painted as.
        read: The regions that cover what was painted.
    """

    value: int
    regions: tuple[str, ...]
    painted: int
    read: tuple[str, ...]

    def __str__(self) -> str:
        painted = f"value {self.value} ({_names(self.regions)}) is painted as {self.painted}"
        return f"{painted}, which reads as {_names(self.read)}"


def misread_values(regions: Regions, class_order: Sequence[int]) -> list[Misread]:
    """Returns the values that do not come back with their own regions, ascending; none: the order is right.

    Args:
        regions: The regions.
        class_order: A value for each, in their order.
    """
    found = []
    for value in sorted({0}.union(*regions.values())):
        own = _covering(regions, value)
        painted = 0
        for name, paint in zip(regions, class_order, strict=True):
            painted = paint if name in own else painted
        if (read := _covering(regions, painted)) != own:
            found.append(Misread(value, own, painted, read))
    return found


def right_order(regions: Regions) -> list[int] | None:
    """Returns an order that gives every value back its regions; None: in this sequence of the regions there is none."""
    order = []
    for index, values in enumerate(regions.values()):
        later = list(regions)[index + 1 :]
        # What this region paints last. A region that others paint over whole may paint anything of its own.
        last = [value for value in sorted(values) if not any(value in regions[other] for other in later)]
        order.append(last[0] if last else min(values, default=0))
        if len({_covering(regions, value) for value in last}) > 1:
            return None
    return order if not misread_values(regions, order) else None


def check_class_order(regions: Regions, class_order: object) -> Iterator[str]:
    """Yields what is wrong with `regions_class_order`, at most one sentence or two.

    Args:
        regions: The regions.
        class_order: What dataset.json has; None: nothing.
    """
    names = ", ".join(regions)
    if not isinstance(class_order, list):
        yield (
            f"labels has regions (several values under one name), but regions_class_order is {class_order!r}. It must "
            f"list, for {names} in this order, the value that each region paints over the ones before it. "
            f"{_remedy(regions)}"
        )
        return
    known = set().union(*regions.values())
    if len(class_order) != len(regions) or not all(type(value) is int and value in known for value in class_order):
        yield (
            f"regions_class_order is {class_order}; it needs {len(regions)} numbers, one for each of "
            f"{names}, out of {first_offenders(sorted(known), 20)}. {_remedy(regions)}"
        )
        return
    if misread := misread_values(regions, class_order):
        yield (
            f"regions_class_order is {class_order}, for {names} in this order. So painted, a perfect prediction is "
            f"scored as wrong: {first_offenders(misread)}. {_remedy(regions)}"
        )


def _remedy(regions: Regions) -> str:
    """Returns how to get a right order, from the least change on."""
    if order := right_order(regions):
        return f'Write "regions_class_order": {order}.'
    outermost_first = dict(sorted(regions.items(), key=lambda item: -len(item[1])))
    if order := right_order(outermost_first):
        return (
            f"Name the regions in labels in this order, {', '.join(outermost_first)}, and write "
            f'"regions_class_order": {order}.'
        )
    return (
        "No order of these regions can be read back, since some overlap without one lying in the other. Give each "
        "overlap a label of its own after them, or train them apart."
    )


def _covering(regions: Regions, value: int) -> tuple[str, ...]:
    return tuple(name for name, values in regions.items() if value in values)


def _names(regions: Sequence[str]) -> str:
    return ", ".join(regions) or "no region"
