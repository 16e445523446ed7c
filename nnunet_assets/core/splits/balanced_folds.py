"""Deals cases to folds: groups stay together, folds are of equal size, and labels are spread over them.

One greedy rule for all of it. What is dealt at a time is a group, or a single case where there are none. Whatever is
rare or large goes first, each to the fold where the imbalance grows least. The same seed gives the same folds, in
whatever order the cases come.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

Features = Counter[Hashable]
"""What a case, or a group of cases, adds to a fold: its cases, and how many of them have each trait."""

SIZES = ("small", "medium", "large")
"""The thirds of the volumes of a label, over the cases that have it."""

_CASES = "cases"


def deal(
    cases: Sequence[str],
    n_folds: int,
    seed: int,
    *,
    groups: Mapping[str, str],
    label_volumes_ml: Mapping[str, Mapping[str, float]],
    dealt: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Returns the fold, from 0, that validates each case.

    Without groups the folds differ by one case at most; with them, by the size of the largest group at most. No fold
    stays empty where there are as many groups as folds.

    Args:
        cases: All cases.
        n_folds: Number of folds; the caller sees to it that there are as many cases, or groups.
        seed: Decides between what is equally good.
        groups: Group by case; empty: each case for itself.
        label_volumes_ml: By case and label, in ml, to spread presence and volume of each label; empty: not.
        dealt: Cases that are in a fold already and stay there; a new case of one of their groups joins them.
    """
    folds = dict(dealt or {})
    traits = _traits(cases, label_volumes_ml)
    units: dict[str, list[str]] = {}
    for case in sorted(cases):
        units.setdefault(groups.get(case, case), []).append(case)
    total = sum((traits[case] for case in cases), Counter())
    held = [sum((traits[case] for case in folds if folds[case] == fold), Counter()) for fold in range(n_folds)]
    undealt: dict[str, Features] = {}
    for unit, members in units.items():
        new = [case for case in members if case not in folds]
        homes = [folds[case] for case in members if case in folds]
        if homes:
            folds |= dict.fromkeys(new, homes[0])
            held[homes[0]] += sum((traits[case] for case in new), Counter())
        else:
            undealt[unit] = sum((traits[case] for case in new), Counter())
    order = sorted(undealt, key=lambda unit: (-_share(undealt[unit], total), _shuffled(seed, unit)))
    for n_before, unit in enumerate(order):
        fold = _best_fold(undealt[unit], held, total, n_left=len(order) - n_before)
        held[fold] += undealt[unit]
        folds |= dict.fromkeys(units[unit], fold)
    return folds


def _best_fold(unit: Features, held: Sequence[Features], total: Features, n_left: int) -> int:
    """Returns the fold whose imbalance grows least: that of the sum of squares of what the folds hold, by trait."""
    empty = [fold for fold, features in enumerate(held) if not features[_CASES]]
    sizes = [features[_CASES] for features in held]
    # No fold grows beyond what the smallest would: so much the folds may differ, and no more.
    bound = max(*sizes, min(sizes) + unit[_CASES])
    candidates = [fold for fold, size in enumerate(sizes) if size + unit[_CASES] <= bound]
    return min(
        empty if len(empty) >= n_left else candidates,
        key=lambda fold: (
            sum(n * (2 * held[fold][trait] + n) / total[trait] ** 2 for trait, n in unit.items()),
            sizes[fold],
            fold,
        ),
    )


def _share(unit: Features, total: Features) -> float:
    """Returns how much of all there is a unit holds, summed over its traits: most for what is large or rare."""
    # Rounded, so that the order of a sum does not decide.
    return round(sum(n / total[trait] for trait, n in unit.items()), 9)


def _shuffled(seed: int, unit: str) -> str:
    # Not `random`: its sequence would depend on how many units there are, and so every place on every new one.
    return hashlib.sha256(f"{seed}:{unit}".encode()).hexdigest()


def _traits(cases: Sequence[str], label_volumes_ml: Mapping[str, Mapping[str, float]]) -> dict[str, Features]:
    """Returns for each case that it is one, which labels it has, and how large each is among those that have it."""
    traits: dict[str, Features] = {case: Counter({_CASES: 1}) for case in cases}
    if not label_volumes_ml:
        return traits
    for label in sorted({label for case in cases for label in label_volumes_ml[case]}):
        volumes = {case: label_volumes_ml[case].get(label, 0.0) for case in cases}
        present = sorted(volume for volume in volumes.values() if volume > 0)
        bounds = [present[len(present) * third // 3] for third in (1, 2)] if present else []
        for case, volume in volumes.items():
            if volume > 0:
                size = SIZES[sum(volume >= bound for bound in bounds)]
                traits[case] += Counter({(label, "present"): 1, (label, size): 1})
    return traits
