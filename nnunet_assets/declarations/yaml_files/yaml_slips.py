"""What a file that YAML cannot read was most likely meant to say: the line of the slip, and how to write it.

YAML names the place where it gave up, in words of its own and often lines after the slip. Here the document up to that
place is looked at for what people do who write YAML for the first time. Knows nothing of experiments.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

_CLOSING = {"[": "]", "{": "}"}
_KEY = re.compile(r"( *)([A-Za-z_][\w.-]*):(?:\s+(.*?))?\s*")


@dataclass(frozen=True)
class Slip:
    """A line, from 1, and what is wrong with it in a sentence."""

    line: int
    sentence: str


@dataclass(frozen=True)
class _Place:
    """Where YAML gave up, from 0.

    Attributes:
        lines: The lines of the file.
        first: The first line of the document.
        last: The line at which reading ended.
        column: The place in that line.
        began: The line at which what could not be read to its end began.
        words: YAML's.
    """

    lines: list[str]
    first: int
    last: int
    column: int
    began: int
    words: str

    def upto(self) -> Iterator[tuple[int, str]]:
        """Yields the document's lines up to the place, without empty ones, remarks and text in blocks (`|`, `>`)."""
        block: int | None = None
        for index in range(self.first, min(self.last, len(self.lines) - 1) + 1):
            line = self.lines[index]
            indent = len(line) - len(line.lstrip())
            if not line.strip() or (block is not None and indent > block):
                continue
            block = indent if re.search(r":\s+[|>][-+0-9]*\s*(?:#.*)?$", line) else None
            if not line.lstrip().startswith("#"):
                yield index, line


def slip_in(text: str, error: yaml.MarkedYAMLError) -> Slip | None:
    """Returns the slip that most likely made the error; None where none of the known ones did."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    lines = text.splitlines()
    last = min(mark.line, len(lines) - 1)
    separators = [index for index in range(last) if re.match(r"---(\s|$)", lines[index])]
    first = separators[-1] + 1 if separators else 0
    began = error.context_mark.line if error.context_mark else mark.line
    words = ", ".join(part for part in (error.context, error.problem) if part)
    place = _Place(lines, first, last, mark.column, began, words)
    return next(filter(None, (rule(place) for rule in _RULES)), None)


def _blank_that_is_no_space(place: _Place) -> Slip | None:
    for index, line in place.upto():
        blank = re.match(r"\s*", line)
        others = set(blank[0] if blank else "") - {" "} | (set(line) & {"\u200b", "\ufeff"})
        if "\t" in others:
            shown = f"{' ' * _expected_indent(place, index)}{line.strip()}"
            return Slip(index + 1, f"the line begins with a tab. Indent with spaces, two for each level: `{shown}`.")
        if others:
            sentence = (
                f"the line holds a blank that is no space (U+{ord(min(others)):04X}), as web pages and word processors "
                f"write it. Type its blanks anew: `{' ' * _expected_indent(place, index)}{_plain(line)}`."
            )
            return Slip(index + 1, sentence)
    return None


def _of_another_tool(place: _Place) -> Slip | None:
    for index, line in place.upto():
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            sentence = (
                "a merge of Git is not done here. Keep one of the two versions, and remove Git's lines (<<<, ===, >>>)."
            )
            return Slip(index + 1, sentence)
        if line.startswith("```"):
            return Slip(index + 1, "the line is Markdown's and not YAML's. Remove it.")
        if "{{" in line and not re.search(r"['\"].*\{\{", line):
            return Slip(index + 1, "a value with {{ and }} needs quotes around all of it.")
    return None


def _separator(place: _Place) -> Slip | None:
    for index, line in place.upto():
        if re.fullmatch(r"\s*(?:[-‐‑‒–—―_=~*]{2,}|\.\.\.)\s*", line) and line.rstrip() != "---":
            sentence = (
                f"{line.rstrip()!r} does not separate two declarations. Write `---`, three hyphens and nothing before "
                "or after them."
            )
            return Slip(index + 1, sentence)
    return None


def _colon(place: _Place) -> Slip | None:
    for index, line in place.upto():
        if found := re.fullmatch(r"(\s*[A-Za-z_]\w*):([^\s/].*)", line):
            sentence = f"a space is missing after the colon. Write `{found[1]}: {found[2].strip()}`."
            return Slip(index + 1, sentence)
        if found := re.fullmatch(r"(\s*[A-Za-z_]\w*)\s*(?:[=：；;]|->|=>)\s*(.*)", line):
            sentence = f"a name and its value have a colon and a space between them. Write `{found[1]}: {found[2]}`."
            return Slip(index + 1, sentence)
    if "expected ':'" not in place.words or place.began >= len(place.lines):
        return None
    line = _plain(place.lines[place.began])
    found = re.fullmatch(r"([A-Za-z_]\w*)(?:\s+(.*))?", line)
    if not found:
        return None
    fixed = f"{found[1]}: {found[2]}" if found[2] else f"{found[1]}:"
    sentence = f"the colon is missing after {found[1]}. Write `{_indent(place, place.began)}{fixed}`."
    return Slip(place.began + 1, sentence)


def _quote(place: _Place) -> Slip | None:
    for index, line in place.upto():
        found = re.fullmatch(r"(\s*(?:- )?[\w.-]+:\s+)(['\"])(.*)", line)
        if not found:
            continue
        _, closing, rest = _without_doubled(found[3], found[2]).partition(found[2])
        if not closing:
            sentence = f"the quote {found[2]} that opens here is not closed. Write `{line.rstrip()}{found[2]}`."
            return Slip(index + 1, sentence)
        if rest.strip() and not re.match(r"\s+#", rest):
            other = "'" if found[2] == '"' else '"'
            sentence = (
                f"the text ends at its second {found[2]}, before `{rest.strip()}`. Put {other} around it instead."
            )
            return Slip(index + 1, sentence)
    if "unknown escape" in place.words:
        sentence = "a backslash between double quotes begins a special letter. Use single quotes, such as 'C:\\data'."
        return Slip(place.last + 1, sentence)
    return None


def _without_doubled(rest: str, quote: str) -> str:
    """Returns a text without the quotes that stand for themselves in it: two of them, or one after a backslash."""
    return rest.replace("''", "") if quote == "'" else re.sub(r"\\.", "", rest)


def _bracket(place: _Place) -> Slip | None:
    if "flow" not in place.words or place.began >= len(place.lines):
        return None
    line = place.lines[place.began].rstrip()
    found = re.fullmatch(r"(\s*[\w.-]+: +)([\[{])([^\[\]{}()]*?),?\s*[\])}]?", line)
    opening = found[2] if found else next((letter for letter in line if letter in _CLOSING), "[")
    if found:
        example = f" Write `{found[1]}{opening}{found[3].rstrip()}{_CLOSING[opening]}`."
    else:
        example = f" Each {opening} needs a {_CLOSING[opening]}."
    return Slip(place.began + 1, f"the bracket {opening} that opens here is not closed.{example}")


def _first_letter(place: _Place) -> Slip | None:
    line = place.lines[place.last]
    if item := re.fullmatch(r"(\s*)[*•+] ?(.*)", line):
        return Slip(place.last + 1, f"an item of a list begins with a hyphen. Write `{item[1]}- {item[2]}`.")
    if found := re.fullmatch(r"(\s*[\w.-]+): +([?|>-] ?[^\s-].*)", line):
        sentence = f'text that begins with {found[2][0]} needs quotes. Write `{found[1]}: "{found[2]}"`.'
        return Slip(place.last + 1, sentence)
    column = place.column
    if "alias" in place.words or "anchor" in place.words:
        column = next((index for index, letter in enumerate(line) if letter in "*&"), column)
    elif "cannot start any token" not in place.words:
        return None
    rest = line[column:].strip()
    if not rest or rest[0] not in "@`%*&":
        return None
    word = re.split(r"[,\]}]", rest)[0].strip() if re.search(r"[\[{]", line[:column]) else rest
    fixed = line.replace(word, f'"{word}"', 1).rstrip()
    return Slip(place.last + 1, f"text that begins with {rest[0]} needs quotes. Write `{fixed}`.")


def _two_colons(place: _Place) -> Slip | None:
    line = place.lines[place.last]
    found = re.fullmatch(r"( *)([\w.-]+): +([^'\"\[{].*?:(?: .*)?)", line)
    if "mapping values" not in place.words or not found:
        return None
    indent, name, value = found.groups()
    if inner := re.fullmatch(r"([A-Za-z_]\w*): (.+)", value):
        sentence = (
            f"what belongs to `{name}` begins on a line of its own. End this line after `{name}:`, and write "
            f"`{indent}  {inner[0]}` on the next."
        )
    else:
        sentence = f'a text with a colon in it needs quotes. Write `{indent}{name}: "{value}"`.'
    return Slip(place.last + 1, sentence)


def _indentation(place: _Place) -> Slip | None:
    """Walks over the keys as YAML does and returns the first that stands neither beside nor below another."""
    open_at = [0]  # the indentation of the blocks around
    opens, before = True, -1
    keys = [(index, found) for index, line in place.upto() if (found := _KEY.fullmatch(line))]
    for position, (index, found) in enumerate(keys):
        indent, value = len(found[1]), (found[3] or "").partition(" #")[0].strip()
        if not keys[:position]:
            open_at = [indent]
        elif indent > open_at[-1]:
            if not opens:
                # One line too far out takes those after it, which are right, for what belongs to it.
                outlier = position >= 2 and len(keys[position - 2][1][1]) == indent
                return _beside(place, before, indent) if outlier else _beside(place, index, open_at[-1])
            open_at.append(indent)
        else:
            left = [open_at.pop() for _ in range(len(open_at)) if open_at[-1] > indent]
            if not open_at or open_at[-1] != indent:
                return _beside(place, index, left[-1] if len(left) == 1 or not open_at else left[0])
        opens, before = not value or value.startswith("#"), index
    return None


def _beside(place: _Place, index: int, indent: int) -> Slip:
    line = place.lines[index]
    there = len(line) - len(line.lstrip())
    spaces = {0: "not indented", 1: "indented by 1 space"}.get(there, f"indented by {there} spaces")
    wanted = f"by {indent}" if indent else "not at all"
    return Slip(
        index + 1,
        f"the line is {spaces}, and those that it belongs with {wanted}. Write `{' ' * indent}{line.strip()}`.",
    )


def _expected_indent(place: _Place, index: int) -> int:
    """Returns how far a line is to be indented by the one before it."""
    before = next((place.lines[i] for i in range(index - 1, place.first - 1, -1) if place.lines[i].strip()), "")
    there = before.expandtabs(2)
    indent = len(there) - len(there.lstrip())
    return indent + 2 if before.rstrip().endswith(":") else indent


def _plain(line: str) -> str:
    return " ".join(re.sub(r"[\u200b\ufeff]", "", line).split())


def _indent(place: _Place, index: int) -> str:
    line = place.lines[index]
    return line[: len(line) - len(line.lstrip())]


_RULES = (
    _of_another_tool,
    _blank_that_is_no_space,
    _separator,
    _colon,
    _quote,
    _bracket,
    _first_letter,
    _two_colons,
    _indentation,
)
"""In the order of how surely each is the slip."""
