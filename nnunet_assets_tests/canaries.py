"""Names that must not be in anything that is made to be shown, and all that a file says, however it is packed."""

import base64
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

HOST, USER, FOLDER = "canary-host", "canary-user", "canary-folder"
CANARIES = (HOST, USER, FOLDER)


def text_of(file: Path) -> str:
    """Returns all that a file says: tables and their metadata, a picture's texts, what is packed into a page."""
    return "\n".join(_texts(file.name, file.read_bytes()))


def found_in(folder: Path, home: Path) -> dict[str, str]:
    """Returns, by file below a folder that says a canary or the home's path, the place of it.

    Args:
        folder: Where to look.
        home: Whose path, of the machine that the tests run on, nobody is to see either.
    """
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = text_of(file)
        for word in (*CANARIES, str(home), "pytest-of-"):
            if (place := text.lower().find(word.lower())) >= 0:
                found[str(file.relative_to(folder))] = text[max(0, place - 60) : place + 60]
    return found


def _texts(name: str, content: bytes) -> Iterator[str]:
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(content))
        yield repr(table.schema.metadata)
        yield repr(pq.read_metadata(io.BytesIO(content)))
        yield table.to_pandas().to_csv()
        return
    yield content.decode("utf-8", errors="replace")
    if content.startswith(b"\x89PNG"):
        yield from _png_texts(content)
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=\s]+)", content):
        yield from _texts("packed", base64.b64decode(packed))


def _png_texts(content: bytes) -> Iterator[str]:
    place = 8
    while place < len(content):
        size, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        chunk = content[place + 8 : place + 8 + size]
        if kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf"):
            yield chunk.decode("latin1")
            for start in range(len(chunk)):
                if chunk[start : start + 1] == b"\x78":
                    try:
                        yield zlib.decompress(chunk[start:]).decode("latin1")
                    except zlib.error:
                        continue
        place += 12 + size
