"""How each kind of file carries its seal, and what of it the seal vouches for.

LaTeX has it in a comment in front, Markdown in one at the end, HTML in a `meta` field, SVG in an element `metadata`,
PNG in a `tEXt` chunk. Texts are vouched for by their lines, whatever ends them: a copy with other line ends, a byte
order mark or blanks at the ends of lines says the same. Pictures are by their pixels as they are stored.

A CSV has no place for a line that every reader passes over: each of its rows names its source in a last column. Parquet
has a field of the whole table, which whoever writes Parquet puts in.
"""

import csv
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Iterator

from nnunet_assets.core.verification.seals import SEAL_NAME, Seal, Sealing, seals_in

MADE_FROM = "made_from"
"""The last column of a CSV."""

TEXT_ENDINGS = ("tex", "md", "html", "svg")

_TABLE_END = r"\end{table}"

_PNG = b"\x89PNG\r\n\x1a\n"

_LINE = rf"{SEAL_NAME}: export=[^\n<>\"]*?"
_CARRIERS = {
    "tex": re.compile(rf"^[ \t]*%+[ \t]*{_LINE}$\n?", re.MULTILINE),
    "md": re.compile(rf"\n?^<!-- {_LINE} -->$\n?", re.MULTILINE),
    "html": re.compile(rf'<meta name="{SEAL_NAME}" content="{_LINE}">\n?'),
    "svg": re.compile(rf"<metadata>{_LINE}</metadata>\n?"),
}


class NoCarrierError(ValueError):
    """A file is not of the kind that its ending says."""


def sealed(content: bytes, name: str, sealing: Sealing) -> bytes:
    """Returns an export with its seal; one of another kind is returned as it is.

    Args:
        content: As it was made, without a seal.
        name: Under which it is written; its ending says how it carries the seal.
        sealing: What the seal says.
    """
    ending = name.rpartition(".")[2]
    if ending == "png":
        seal = sealing.seal(name, picture_digest(content))
        return _with_chunk(content, f"{SEAL_NAME}\0{seal.text()}".encode("latin-1"))
    if ending == "csv":
        return _with_column(content.decode(), sealing.made_from).encode()
    if ending not in TEXT_ENDINGS:
        return content
    text = content.decode()
    return _with_line(text, ending, sealing.seal(name, text_digest(text)).text()).encode()


def opened_text(text: str, ending: str) -> tuple[str, list[Seal]]:
    """Returns the lines of a text without its seals, and the seals; several where exports were put together."""
    lines = _lines(text)
    return _CARRIERS[ending].sub("", lines), seals_in(lines)


def sealed_parts(text: str, ending: str) -> list[str]:
    """Returns the exports in a Markdown or LaTeX text, each with its seal; the whole where there is none.

    In LaTeX an export begins with its seal and ends with its `table`: what a paper has around it is not looked at. In
    Markdown it ends with its seal.
    """
    lines = _lines(text)
    seals = list(_CARRIERS[ending].finditer(lines))
    if not seals:
        return [text]
    if ending == "tex":
        ends = [*(seal.start() for seal in seals[1:]), len(lines)]
        parts = [lines[seal.start() : end] for seal, end in zip(seals, ends, strict=True)]
        return [_until(part, _TABLE_END) for part in parts]
    starts = [0, *(seal.end() for seal in seals)]
    return [lines[start : seal.end()] for start, seal in zip(starts, seals, strict=False)]


def _until(text: str, end: str) -> str:
    before, found, _ = text.partition(end)
    return before + found


def opened_png(content: bytes) -> Seal | None:
    """Returns the seal of a picture; None: it has none.

    Raises:
        NoCarrierError: It is no PNG, or torn.
    """
    texts = [data for kind, data in _chunks(content) if kind == b"tEXt" and data.startswith(SEAL_NAME.encode() + b"\0")]
    found = [seal for data in texts for seal in seals_in(data.decode("latin-1"))]
    return found[0] if found else None


def text_digest(text: str) -> str:
    """Returns what names a text, without its seal: the digest of its lines without what ends them."""
    return hashlib.sha256(_lines(text).strip("\n").encode()).hexdigest()


def picture_digest(content: bytes) -> str:
    """Returns what names the picture in a PNG: the digest of its size, colours and pixels as they are stored.

    Raises:
        NoCarrierError: It is no PNG, or torn.
    """
    chunks = list(_chunks(content))
    digest = hashlib.sha256()
    for kind in (b"IHDR", b"PLTE"):
        for data in (data for found, data in chunks if found == kind):
            digest.update(kind + data)
    unpacker = zlib.decompressobj()
    try:
        for data in (data for found, data in chunks if found == b"IDAT"):
            rest = data
            while rest:  # a part at a time: a picture of a few bytes may unpack to gigabytes
                digest.update(unpacker.decompress(rest, 1 << 20))
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise NoCarrierError(f"its pixels cannot be unpacked ({error})") from None
    return digest.hexdigest()


def _lines(text: str) -> str:
    """Returns a text without a byte order mark, and without what ends its lines."""
    return "\n".join(line.rstrip() for line in text.removeprefix("\ufeff").splitlines())


def _with_line(text: str, ending: str, line: str) -> str:
    if ending == "tex":
        return f"% {line}\n{text}"
    if ending == "md":
        return f"{text}\n<!-- {line} -->\n"
    mark, carrier = {
        "html": ("</head>", f'<meta name="{SEAL_NAME}" content="{line}">\n'),
        "svg": ("</svg>", f"<metadata>{line}</metadata>\n"),
    }[ending]
    before, found, after = text.partition(mark) if ending == "html" else text.rpartition(mark)
    return f"{before}{carrier}{found}{after}" if found else text


def _with_column(text: str, made_from: str) -> str:
    # As `reports.text.rows` writes them.
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found = io.StringIO()
    csv.writer(found).writerows([*row, MADE_FROM if not number else made_from] for number, row in enumerate(rows))
    return found.getvalue()


def _with_chunk(content: bytes, data: bytes) -> bytes:
    end = content.rindex(b"IEND") - 4
    kind = b"tEXt"
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content[:end] + chunk + content[end:]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not content.startswith(_PNG):
        raise NoCarrierError("it does not begin as a PNG")
    place = len(_PNG)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        if len(data) < length:
            break
        yield kind, data
        if kind == b"IEND":
            return
        place += 12 + length
    raise NoCarrierError("it ends before its last chunk")
