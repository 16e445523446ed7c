"""Experiments of one dataset by what tells them apart, for tables and figures that have no room for whole names."""

from collections.abc import Mapping, Sequence


def short_names(names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Returns each name with what tells it from the others, and what they all share, `nnUNetTrainer, 2d`, or nothing.

    Args:
        names: As `Experiment.name_in_dataset`; one alone, or names of another form, stay as they are.
    """
    parts = {name: _parts(name) for name in names}
    if len(parts) < 2 or any(len(found) != 4 for found in parts.values()):
        return {name: name for name in names}, ""
    first = next(iter(parts.values()))
    is_shared = [len({found[k] for found in parts.values()}) == 1 for k in range(4)]
    short = {
        name: " ".join(part for part, shared in zip(found, is_shared, strict=True) if part and not shared)
        for name, found in parts.items()
    }
    in_common = ", ".join(part for part, shared in zip(first, is_shared, strict=True) if part and shared)
    return {name: text or "(no variant)" for name, text in short.items()}, in_common


NAMED = ("experiment", "left", "right")
"""The columns of a comparison's tables that hold names of experiments."""


def with_short_names(rows: Sequence[Mapping[str, str]], experiments: Sequence[str]) -> list[dict[str, str]]:
    """Returns rows of a comparison's tables with the experiments as `short_names` has them."""
    short, _ = short_names(experiments)
    return [{column: short[cell] if column in NAMED else cell for column, cell in row.items()} for row in rows]


def _parts(name: str) -> tuple[str, ...]:
    """Returns variant (empty: none), trainer, plans and configuration."""
    variant, _, model = name.rpartition("/")
    return variant, *model.split("__")
