"""Matches a name against a pattern of texts, `*` and words, in a time that no name and no pattern can drive up.

A regular expression with many `*` tries every way to divide a name among them, which takes minutes for one name. Here
the rests of the pattern that can match each rest of the name are found first, from behind; what is then taken from the
front, the longest text for each, never has to be given back, but for a word that comes twice: its tries are counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nnunet_assets.errors import ConfigError

MOST_TRIES = 20_000
"""For one name. A word that comes twice in a name of 255 letters has less than 255 * 255 / 4 places."""


@dataclass(frozen=True)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True)
class Anything:
    """`*`: any text, or none."""


@dataclass(frozen=True)
class Word:
    """A text with a name, of one letter or more.

    Attributes:
        name: The same text wherever it comes again.
        choices: The texts that it may be, beside decimal numbers, the first that fits first; None: any text.
        without: A letter that it does not hold; empty: none.
    """

    name: str
    choices: tuple[str, ...] | None = None
    without: str = ""


Piece = Text | Anything | Word


def match(pieces: Sequence[Piece], name: str) -> dict[str, str] | None:
    """Returns the text of each word; None: the whole name does not match.

    Where a name can be divided in several ways, what comes first is as long as it can be.

    Raises:
        ConfigError: Words that come twice fit in too many places to try them all.
    """
    return _Matcher(pieces, name).match()


class _Matcher:
    def __init__(self, pieces: Sequence[Piece], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._n_tries = 0
        self._failed: set[tuple[int, int, tuple[str, ...]]] = set()
        # By piece, where in the name the pieces from there on can begin, if a word that comes twice may be anything.
        self._can = [[False] * len(name) + [True]]
        for piece in reversed(pieces):
            self._can.insert(0, self._starts(piece, self._can[0]))
        words = [piece.name if isinstance(piece, Word) else "" for piece in pieces]
        # By piece, the words before it that come again: where there is none, the first way that is tried is one.
        self._needed = [tuple(sorted(set(words[:i]) & set(words[i:]) - {""})) for i in range(len(words) + 1)]

    def match(self) -> dict[str, str] | None:
        return self._from(0, 0, {}) if self._can[0][0] else None

    def _from(self, index: int, start: int, texts: Mapping[str, str]) -> dict[str, str] | None:
        """Returns the texts where the pieces from `index` on match the name from `start` on."""
        if index == len(self._pieces):
            return dict(texts)
        state = (index, start, tuple(texts[word] for word in self._needed[index]))
        if state in self._failed:
            return None
        self._n_tries += 1
        if self._n_tries > MOST_TRIES:
            raise ConfigError(
                f"The name {self._name!r} can be divided in too many ways among the words that come twice in the "
                "pattern. Write more of the names into the pattern as it is."
            )
        piece = self._pieces[index]
        for end in self._ends(piece, start, texts):
            if self._can[index + 1][end]:
                taken = {**texts, piece.name: self._name[start:end]} if isinstance(piece, Word) else texts
                if (found := self._from(index + 1, end, taken)) is not None:
                    return found
        self._failed.add(state)
        return None

    def _ends(self, piece: Piece, start: int, texts: Mapping[str, str]) -> Iterator[int]:
        """Yields where a piece that begins at `start` may end, the place to try first first."""
        name = self._name
        if isinstance(piece, Text) or (isinstance(piece, Word) and piece.name in texts):
            text = piece.text if isinstance(piece, Text) else texts[piece.name]
            if name.startswith(text, start):
                yield start + len(text)
        elif isinstance(piece, Anything):
            yield from range(len(name), start - 1, -1)
        elif piece.choices is None:
            last = name.find(piece.without, start) if piece.without else -1
            yield from range(len(name) if last < 0 else last, start, -1)
        else:
            last = start
            while last < len(name) and name[last].isdecimal():
                last += 1
            yield from range(last, start, -1)
            yield from (start + len(choice) for choice in piece.choices if name.startswith(choice, start))

    def _starts(self, piece: Piece, then: Sequence[bool]) -> list[bool]:
        """Returns where a piece can begin, given where what follows it can; of a word that comes again, where it might.

        The last place is the name's end.
        """
        name, starts = self._name, [False] * len(then)
        for start in reversed(range(len(then))):
            if isinstance(piece, Text):
                starts[start] = name.startswith(piece.text, start) and then[start + len(piece.text)]
            elif isinstance(piece, Anything):
                starts[start] = then[start] or (start < len(name) and starts[start + 1])
            elif start < len(name) and self._may_hold(piece, name[start]):
                starts[start] = then[start + 1] or starts[start + 1]
        if isinstance(piece, Word) and piece.choices:
            for start in range(len(then)):
                fitting = (start + len(choice) for choice in piece.choices if name.startswith(choice, start))
                starts[start] = starts[start] or any(then[end] for end in fitting)
        return starts

    @staticmethod
    def _may_hold(word: Word, letter: str) -> bool:
        return letter.isdecimal() if word.choices is not None else letter != word.without
