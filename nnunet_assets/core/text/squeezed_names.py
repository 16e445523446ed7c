"""A long name in little room, where nobody knows the others: its words are shortened, and every number stays.

Names of studies often differ in one number in their middle, which a cut there would hide.
"""

import hashlib
import re

from nnunet_assets.core.text.distinct_names import cut_in_the_middle

_MARK = "~"
_DIGITS = 3
"""Of a digest of the whole name: two that differ in the shortened part of a word do not look alike."""

_PARTS = re.compile(r"[^\W\d_]+|[\W\d_]+")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[_-](?=[^\W\d_])")


def squeezed(name: str, longest: int) -> str:
    """Returns a name of no more characters: `lear_rate_0_001_wei_dec_1e_4~3f2` of one that is too long.

    Args:
        name: As it is; one that fits stays.
        longest: Characters; where even the first letters of its words are too many, its middle is left out.
    """
    if len(name) <= longest:
        return name
    mark = _MARK + hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    room = longest - len(mark)
    parts = _PARTS.findall(name)
    while sum(map(len, parts)) > room and max(map(_letters, parts), default=0) > 1:
        longest_word = max(range(len(parts)), key=lambda place: (_letters(parts[place]), place))
        parts[longest_word] = parts[longest_word][:-1]
    shown = "".join(parts)
    if len(shown) > room:
        shown = cut_in_the_middle(_BETWEEN_LETTERS.sub("", shown), room)
    return shown + mark


def _letters(part: str) -> int:
    return len(part) if part.isalpha() else 0
