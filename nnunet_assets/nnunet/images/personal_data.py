"""What may name a patient in a NIfTI header or a file name. Says where it stands, never what it says."""

import re
from collections.abc import Iterator
from typing import Any

_DICOM_EXTENSION = 2
_TEXT_FIELDS = ("descrip", "aux_file", "intent_name", "db_name")

_DATE = r"(?<!\d)(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
_PERSON = r"[^\W\d_]\^[^\W\d_]"  # DICOM writes names as DOE^JANE
_WORD = r"(?<![a-z])(?:patient|birth|dob|mrn)(?![a-z])|(?i:patient'?s?[ _]?(?:name|id)|birth ?date)"

_IN_NAMES = re.compile(f"{_DATE}|{_PERSON}")
_IN_TEXTS = re.compile(f"{_DATE}|{_PERSON}|(?i:{_WORD})")


def personal_fields(header: Any, extensions: bytes) -> list[str]:
    """Returns the names of the header fields, and `extension N`, that look as if they held a person's data.

    Args:
        header: nibabel's header.
        extensions: The bytes between header and voxels.
    """
    fields = [name for name in _TEXT_FIELDS if name in header and _IN_TEXTS.search(_text(bytes(header[name])))]
    for code, content in _extensions(extensions, header.endianness):
        if code == _DICOM_EXTENSION or _IN_TEXTS.search(_text(content)):
            fields.append(f"extension {code}")
    return fields


def is_personal_name(name: str) -> bool:
    """Tells whether the name of a case looks as if it held a date or a person's name."""
    return _IN_NAMES.search(name) is not None


def _extensions(content: bytes, endianness: str) -> Iterator[tuple[int, bytes]]:
    """Yields code and content of each extension; stops at the first that makes no sense."""
    order = "little" if endianness == "<" else "big"
    position = 4 if content[:1] not in (b"", b"\0") else len(content)
    while position + 8 <= len(content):
        size, code = (
            int.from_bytes(content[position + at : position + at + 4], order, signed=True)  # type: ignore[arg-type]
            for at in (0, 4)
        )
        if size < 8:
            return
        yield code, content[position + 8 : position + size]
        position += size


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode("latin-1")
