"""A pattern that says how files are named, such as `imagesTr/{case}_{channel}.nii.gz`, and what it finds in a folder.

`{case}` stands for the name of the case, `{channel}` for that of the channel, `*` for anything. Any other word in
braces, such as `{session}`, becomes part of the case's name. A word that comes twice is the same text both times.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.text.name_pattern import Anything, Piece, Text, Word, match
from nnunet_assets.errors import ConfigError

CHANNEL = "channel"
_TOKEN = re.compile(r"(\{[^{}]*\}|\*)")


@dataclass(frozen=True)
class FoundFile:
    """A file that a pattern found.

    Attributes:
        path: Where it lies.
        case: The texts for all words but `channel`, joined by `_`.
        channel: The text for `{channel}`; None where the pattern has none.
    """

    path: Path
    case: str
    channel: str | None


def _is_device(path: Path) -> bool:
    """Tells whether a path leads to what is neither file nor folder; a pipe would be waited for without end."""
    return path.exists() and not path.is_file()


class FilePattern:
    """A pattern, relative to a folder.

    Args:
        text: The pattern.
        channels: What `{channel}` may stand for beside numbers; empty: any text without `_`.
        case_words: The words of another pattern for the same cases, in whose order names are put together; None: in the
            order in which they come.

    Raises:
        ConfigError: It is absolute, leads upwards, names no case or other parts of it than the other pattern, or has
            braces around what is no word.
    """

    def __init__(self, text: str, channels: Sequence[str] = (), case_words: Sequence[str] | None = None) -> None:
        self.text = text
        self._parts = text.split("/")
        self._channels = tuple(sorted(channels, key=len, reverse=True))
        words = [found[1:-1] for found in _TOKEN.findall(text) if found != "*"]
        if text.startswith("/") or {"", ".", ".."} & set(self._parts):
            raise ConfigError(f"The pattern {text!r} must be a path below SOURCE, such as 'imagesTr/{{case}}.nii.gz'.")
        if any(not re.fullmatch("[a-z][a-z0-9]*", word) for word in words) or re.search("[{}]", _TOKEN.sub("", text)):
            raise ConfigError(
                f"The pattern {text!r} has braces around something else than a word of small letters, such as "
                "{case}, {channel} or {session}."
            )
        self.has_channel = CHANNEL in words
        own = tuple(dict.fromkeys(word for word in words if word != CHANNEL))
        self.case_words = own if case_words is None else tuple(case_words)
        if not own:
            raise ConfigError(f"The pattern {text!r} does not say where the name of the case is. Write {{case}} there.")
        if set(own) != set(self.case_words):
            wanted = ", ".join(f"{{{word}}}" for word in self.case_words)
            raise ConfigError(f"The pattern {text!r} must name a case by {wanted}, as the pattern of the images does.")

    def find(self, folder: Path) -> list[FoundFile]:
        """Returns the files below a folder that the pattern names, by path; without hidden ones and other droppings.

        Links to folders are followed, but not back into a folder above.
        """
        found = [
            FoundFile(path, "_".join(texts[word] for word in self.case_words), texts.get(CHANNEL))
            for path, texts in self._find(folder, (), {})
        ]
        return sorted(found, key=lambda file: file.path)

    def _find(
        self, folder: Path, above: tuple[Path, ...], texts: Mapping[str, str]
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        # A link upwards would lead through all the others again, once more on each level of the pattern.
        depth, real = len(above), folder.resolve()
        if real in above:
            return
        pieces = self._pieces(self._parts[depth], texts)
        is_last = depth == len(self._parts) - 1
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not is_dropping(entry.name)]
        for name in names:
            found, path = match(pieces, name), folder / name
            if found is None or path.is_dir() == is_last or (is_last and _is_device(path)):
                continue
            known = {**texts, **found}
            if is_last:
                yield path, known
            else:
                yield from self._find(path, (*above, real), known)

    def _pieces(self, part: str, texts: Mapping[str, str]) -> list[Piece]:
        pieces: list[Piece] = []
        for piece in _TOKEN.split(part):
            word = piece[1:-1]
            if piece == "*":
                # Two that follow each other find what one does.
                pieces += [] if pieces and isinstance(pieces[-1], Anything) else [Anything()]
            elif not _TOKEN.fullmatch(piece):
                pieces += [Text(piece)] if piece else []
            elif word in texts:
                pieces.append(Text(texts[word]))
            elif word == CHANNEL:
                pieces.append(Word(word, self._channels) if self._channels else Word(word, without="_"))
            else:
                pieces.append(Word(word))
        return pieces
