"""Long names where there is little room: what tells them apart stays, and two never become the same text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

_CUT = "…"
SHORTEST = 8
"""Fewer characters than these are too few to tell names apart."""


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Returns the names in their order, none longer than that, and different where the names are.

    A name that fits stays. A longer one is cut in its middle; where two would then read alike, in what they share, so
    that what tells them apart is seen: `…ResEncUNetMPlans…` and `…ResEncUNetLPlans…`. Where that does not help, a
    number follows.

    Args:
        names: As they are.
        longest: Characters; at least `SHORTEST` are taken.
    """
    longest = max(longest, SHORTEST)
    different = list(dict.fromkeys(names))
    shown = {name: cut_in_the_middle(name, longest) for name in different}
    for alike in _alike(shown):
        if any(len(name) > longest for name in alike):
            shown |= dict(zip(alike, _windows(alike, longest), strict=True))
    for alike in _alike(shown):
        long = [name for name in alike if len(name) > longest]
        taken = set(shown.values())
        for name in long:
            shown[name] = _numbered(name, longest, taken)
            taken.add(shown[name])
    return [shown[name] for name in names]


def _alike(shown: Mapping[str, str]) -> list[list[str]]:
    """Returns the names that are shown by the same text."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for name, text in shown.items():
        by_text[text].append(name)
    return [names for names in by_text.values() if len(names) > 1]


def cut_in_the_middle(name: str, longest: int) -> str:
    """Returns beginning and end of a name, of no more characters together; where nobody knows what it stands beside."""
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 2
    return f"{name[: longest - 1 - tail]}{_CUT}{name[-tail:]}"


def _windows(names: Sequence[str], longest: int) -> list[str]:
    """Returns of each name as much as fits of where it differs from the others, and a little of what comes before."""
    start = _n_shared(names)
    n_after = min(_n_shared([name[::-1] for name in names]), min(map(len, names)) - start)
    differing = max(len(name) - start - n_after for name in names)
    room = longest - 2
    # Never the beginning: it was shown before, and does not tell them apart.
    first = start - max(0, (room - differing) // 2)
    return [_window(name, first, longest) for name in names]


def _n_shared(names: Sequence[str]) -> int:
    """Returns with how many characters in common they begin."""
    columns = enumerate(zip(*names, strict=False))
    return next((k for k, letters in columns if len(set(letters)) > 1), min(map(len, names)))


def _window(name: str, first: int, longest: int) -> str:
    if len(name) <= longest:
        return name
    if len(name) - first < longest:  # to its end
        return f"{_CUT}{name[1 - longest :]}"
    return f"{_CUT}{name[first : first + longest - 2]}{_CUT}"


def _numbered(name: str, longest: int, taken: set[str]) -> str:
    number = 1
    while True:
        mark = f"{_CUT}{number}"
        text = f"{name[: longest - len(mark)]}{mark}"
        if text not in taken:
            return text
        number += 1
