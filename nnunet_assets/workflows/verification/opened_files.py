"""A file that somebody wants verified, read once: of which kind it is, whatever its name, and what it carries.

A kind is told from the content, since a published file has any name. What is torn says so; nothing in it is run.
"""

import codecs
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.files.json_file import MOST_BYTES, parse_json
from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.core.model.model_description import MODEL_FILE
from nnunet_assets.core.verification.seal_carriers import (
    MADE_FROM,
    NoCarrierError,
    opened_png,
    opened_text,
    picture_digest,
    sealed_parts,
    text_digest,
)
from nnunet_assets.core.verification.seals import Seal, seals_in, source_in
from nnunet_assets.core.verification.table_rows import Rows, csv_rows, text_rows
from nnunet_assets.errors import VerificationError

Kind = Literal["csv", "parquet", "md", "tex", "html", "svg", "png", "json", "package"]

KINDS: Mapping[Kind, str] = {
    "csv": "a CSV table",
    "parquet": "a Parquet table",
    "md": "a Markdown table",
    "tex": "a LaTeX table",
    "html": "an HTML page",
    "svg": "an SVG figure",
    "png": "a PNG figure",
    "json": "a result as JSON",
    "package": "the package of a model",
}
"""Kind to what it is for people."""

_ENDINGS: Mapping[str, Kind] = {
    **{".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".md": "md", ".markdown": "md", ".tex": "tex"},
    **{".html": "html", ".htm": "html", ".svg": "svg", ".png": "png", ".json": "json", ".zip": "package"},
}

_SNIFFED = 4096


@dataclass(frozen=True)
class OpenedFile:
    """What was read of a file.

    Attributes:
        path: As it was named.
        kind: By its content.
        torn: Why it cannot be read as that, a sentence's end; empty: it can.
        seals: That it carries.
        sources: Digests of what it says it was made from.
        digest: What names what it says, where a seal vouches for that; None: of this kind none does.
        rows: Of a table; the first is the header, but of Markdown and LaTeX.
        content: Of JSON.
        parts: Of a text that holds several exports, each by itself; else empty.
    """

    path: Path
    kind: Kind
    torn: str = ""
    seals: tuple[Seal, ...] = ()
    sources: frozenset[str] = frozenset()
    digest: str | None = None
    rows: Rows = field(default=(), repr=False)
    content: Any = field(default=None, repr=False)
    parts: "tuple[OpenedFile, ...]" = field(default=(), repr=False)

    @property
    def seal(self) -> Seal | None:
        """The only seal; None where there is none, or several exports were put together."""
        return self.seals[0] if len(self.seals) == 1 else None


def open_file(path: Path) -> OpenedFile:
    """Returns what is in a file.

    Raises:
        VerificationError: It is not there, cannot be read, is too large, or is nothing that this package exports.
    """
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise VerificationError(
                f"{path} is a folder without {MODEL_FILE}, so it is no package of a model. Name a file that was "
                "exported, or the folder or zip of a package."
            )
        return OpenedFile(path, "package")
    content = _bytes(path)
    kind = _kind(path, content)
    if kind is None:
        raise VerificationError(f"{path} is of no kind that can be verified. These are: {', '.join(KINDS.values())}.")
    try:
        return _opened(path, kind, content)
    except (ValueError, NoCarrierError, RecursionError) as error:
        return OpenedFile(path, kind, torn=str(error))


def table_rows(content: bytes, kind: Kind) -> Rows:
    """Returns the rows of a table's bytes, without the column that names its source.

    Raises:
        ValueError: They are no such table.
    """
    if kind == "parquet":
        return _parquet_rows(_parquet(content))
    text = content.decode("utf-8-sig")
    return _without_source(csv_rows(text))[0] if kind == "csv" else text_rows(opened_text(text, kind)[0], kind)


def _bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES and path.suffix.lower() != ".zip":
                raise VerificationError(
                    f"{path} has {size / 1e6:.0f} MB; no export of more than {MOST_BYTES / 1e6:.0f} MB is read. Verify "
                    "the file that it was taken from."
                )
            return file.read(_SNIFFED if path.suffix.lower() == ".zip" else -1)
    except FileNotFoundError:
        raise VerificationError(f"There is no file {path}. Name one that was exported.") from None
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}.") from error


def _kind(path: Path, content: bytes) -> Kind | None:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", errors="replace").encode()
    head = content[:_SNIFFED].removeprefix(b"\xef\xbb\xbf").lstrip()
    by_magic = next((kind for magic, kind in _MAGIC.items() if head.lower().startswith(magic)), None)
    if by_magic or b"<svg" in head:
        return by_magic or "svg"
    return _ENDINGS.get(path.suffix.lower()) or _kind_of_text(head, content)


def _kind_of_text(head: bytes, content: bytes) -> Kind | None:
    """Returns of which kind a text is whose name says nothing."""
    marks: dict[Kind, bool] = {
        "tex": b"\\begin{" in head or b"% nnunet_assets: export=" in content,
        "md": b"| :--" in head or b"<!-- nnunet_assets: export=" in content,
        "csv": b"\0" not in head and head.partition(b"\n")[0].count(b",") > 1,
    }
    return next((kind for kind, has in marks.items() if has), None)


_MAGIC: Mapping[bytes, Kind] = {
    **{b"par1": "parquet", b"\x89png": "png", b"pk\x03\x04": "package", b"{": "json", b"[": "json"},
    **{b"<!doctype html": "html", b"<html": "html"},
}
"""What a file begins with, in small letters."""


def _opened(path: Path, kind: Kind, content: bytes) -> OpenedFile:
    if kind == "package":
        return OpenedFile(path, kind)
    if kind == "png":
        seal = opened_png(content)
        return _sealed(path, kind, (seal,) if seal else (), picture_digest(content))
    if kind == "parquet":
        return _opened_parquet(path, content)
    if kind == "json":
        return OpenedFile(path, kind, content=_json(content))
    text = _decoded(content, kind)
    if kind == "csv":
        rows, sources = _without_source(csv_rows(text))
        return OpenedFile(path, kind, sources=sources, rows=rows)
    texts = sealed_parts(text, kind) if kind in ("md", "tex") else [text]
    parts = tuple(_opened_text(path, kind, part) for part in texts)
    return parts[0] if len(parts) == 1 else replace(_opened_text(path, kind, text), parts=parts)


def _decoded(content: bytes, kind: Kind) -> str:
    """Returns a text; spreadsheets save CSV in the encodings of Windows, too.

    Raises:
        ValueError: It is in none that is known.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if kind != "csv":
            raise
        return content.decode("cp1252")


def _opened_text(path: Path, kind: Kind, text: str) -> OpenedFile:
    bare, seals = opened_text(text, kind)
    rows = text_rows(bare, kind) if kind in ("md", "tex") else ()
    return _sealed(path, kind, tuple(seals), text_digest(bare), rows)


def _sealed(path: Path, kind: Kind, seals: tuple[Seal, ...], digest: str, rows: Rows = ()) -> OpenedFile:
    return OpenedFile(path, kind, "", seals, frozenset(seal.source for seal in seals), digest, rows)


def _json(content: bytes) -> Any:
    found = parse_json(content)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004 (what is read is wrong, not a call)
    return found


def _opened_parquet(path: Path, content: bytes) -> OpenedFile:
    from nnunet_assets.reports.tables.sealed_files import parquet_seal, table_digest

    table = _parquet(content)
    seal = parquet_seal(table)
    return _sealed(path, "parquet", (seal,) if seal else (), table_digest(table), _parquet_rows(table))


def _parquet(content: bytes) -> Any:
    from nnunet_assets.reports.tables.sealed_files import read_parquet

    return read_parquet(content)


def _parquet_rows(table: Any) -> Rows:
    names = [str(name) for name in table.column_names]
    return [names, *([_cell(row[name]) for name in names] for row in table.to_pylist())]


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def _without_source(rows: Rows) -> tuple[Rows, frozenset[str]]:
    """Returns the rows without the column that names their source, and the sources that it names."""
    if not rows or MADE_FROM not in rows[0]:
        return rows, frozenset(seal.source for row in rows for cell in row for seal in seals_in(cell))
    place = list(rows[0]).index(MADE_FROM)
    named = (source_in(row[place]) for row in rows[1:] if len(row) > place)
    return [[*row[:place], *row[place + 1 :]] for row in rows], frozenset(filter(None, named))
