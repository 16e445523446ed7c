"""The words and numbers that a page or a figure shows, whatever program wrote its markup again."""

import re
from html.parser import HTMLParser

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_NOT_SHOWN = frozenset({"style", "metadata", "script", "title"})


def page_words(text: str) -> list[str]:
    """Returns what an HTML page or an SVG figure shows as text, in its order, word by word."""
    words = _Words()
    words.feed(text)
    words.close()
    return " ".join(words.found).split()


def markup_numbers(text: str) -> list[str]:
    """Returns every number in a page, those of its markup included, by which figures in it are drawn."""
    return _NUMBER.findall(text)


class _Words(HTMLParser):
    """Gathers what stands between tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _NOT_SHOWN

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Passes: it has no words."""

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _NOT_SHOWN))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)
