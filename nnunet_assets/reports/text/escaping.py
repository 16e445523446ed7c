"""Text of users (label names, case ids, captions) made safe for LaTeX, Markdown and CSV: shown, never executed."""

import re
import unicodedata

_LATEX_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "#": r"\#",
    "&": r"\&",
    "$": r"\$",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\`{}",
    # After the \\ that ends a row these two would be taken for its optional argument and its star.
    "[": "{[}",
    "*": "{*}",
}

# Only what LaTeX knows in its default OT1 encoding without a package.
_LATEX_SYMBOLS = {
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": "$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\ldots{}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "µ": r"$\mu$",
    "λ": r"$\lambda$",  # Unicode spells it LAMDA
    "Λ": r"$\Lambda$",
}

# LaTeX has a command for each of these under its Unicode name: GREEK SMALL LETTER ALPHA is \alpha.
_LATEX_GREEK = frozenset("αβγδεζηθικμνξπρστυφχψωΓΔΘΞΠΣΦΨΩ")

_LATEX_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def escape_latex(text: str) -> str:
    """Returns ASCII that plain pdflatex sets as the text, on one line.

    Accented Latin letters, Greek letters and a few signs become LaTeX's own; any other character is set as its code
    point, `[U+4E2D]`, since pdflatex stops at what its fonts do not have.
    """
    escaped = "".join(_latex_character(character) for character in unicodedata.normalize("NFC", _one_line(text)))
    # Two hyphens would become a dash, two apostrophes a quotation mark.
    return re.sub(r"([-'])(?=\1)", r"\1{}", escaped)


def escape_markdown(text: str) -> str:
    """Returns Markdown that shows the text on one line, in a table cell too; HTML in it is text."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", _one_line(text))


def defuse_csv(text: str) -> str:
    """Returns the text with a leading apostrophe where a spreadsheet would run it as a formula, else unchanged.

    Those are cells that start with = + - @ (full-width forms and leading spaces included), tab, line end or NUL.
    """
    runs = text.lstrip(" \t\r\n\0")[:1] in {*"=+-@＝＋－＠"} or text[:1] in {*"\t\r\n\0"}
    return f"'{text}" if runs else text


def _one_line(text: str) -> str:
    return "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character for character in text)


def _latex_character(character: str) -> str:
    if character.isascii():
        return _LATEX_ASCII.get(character, character)
    if character in _LATEX_SYMBOLS:
        return _LATEX_SYMBOLS[character]
    if character in _LATEX_GREEK:
        name = unicodedata.name(character).rpartition(" ")[-1]
        return rf"$\{name.lower() if character.islower() else name.capitalize()}$"
    decomposed = unicodedata.normalize("NFD", character)
    base, marks = decomposed[0], decomposed[1:]
    if marks and base.isascii() and base.isalpha() and all(mark in _LATEX_ACCENTS for mark in marks):
        for mark in marks:
            base = f"\\{_LATEX_ACCENTS[mark]}{{{base}}}"
        return base
    return f"{{[}}U+{ord(character):04X}]"
