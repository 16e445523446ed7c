"""What a set of preprocessed cases is made from, and each case and file of it as it was when it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.errors import first_offenders


@dataclass(frozen=True)
class Ingredients:
    """What a set of preprocessed cases is made from.

    Attributes:
        read: What preprocessing reads beside the cases, by name, as JSON text; nnU-Net's version is one of them.
        raw: By case, the digest of its raw files.
    """

    read: Mapping[str, str]
    raw: Mapping[str, str]

    @property
    def digest(self) -> str:
        """What names the set."""
        return json_sha256([self.read, self.raw])[:16]

    def differences(self, now: "Ingredients") -> list[str]:
        """Returns what is different now, a phrase each: `spacing was [1.0, 1.0, 1.0], is [2.0, 1.0, 1.0]`."""
        phrases = [
            f"{name} was {self.read.get(name, 'not read')}, is {now.read.get(name, 'not read')}"
            for name in sorted({*self.read, *now.read})
            if self.read.get(name) != now.read.get(name)
        ]
        cases = {
            "new": [case for case in now.raw if case not in self.raw],
            "changed": [case for case in now.raw if self.raw.get(case, now.raw[case]) != now.raw[case]],
            "gone": [case for case in self.raw if case not in now.raw],
        }
        return phrases + [
            f"{len(found)} {'case is' if len(found) == 1 else 'cases are'} {what} ({first_offenders(found)})"
            for what, found in cases.items()
            if found
        ]


@dataclass(frozen=True)
class FileRecord:
    """A file as it was when it was made."""

    sha256: str
    n_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileRecord":
        """Returns the record of a file; every byte is read."""
        status = path.stat()
        return cls(file_sha256(path), status.st_size, status.st_mtime_ns)

    def is_of(self, path: Path, *, every_byte: bool) -> bool:
        """Says whether the file is still what it was; bytes are read only where asked to, or its time is another.

        One that cannot be read is not.
        """
        try:
            status = path.stat()
            if status.st_size != self.n_bytes:
                return False
            return (not every_byte and status.st_mtime_ns == self.mtime_ns) or file_sha256(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class CaseRecord:
    """A preprocessed case.

    Attributes:
        raw: The digest of its raw files.
        files: By name.
        references: Its label image, by the name that it has as a reference; empty: an older version made the case.
    """

    raw: str
    files: Mapping[str, FileRecord]
    references: Mapping[str, FileRecord]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CaseRecord":
        """Returns what `asdict` was made from."""
        files, references = (
            {name: FileRecord(**file) for name, file in content.get(key, {}).items()} for key in ("files", "references")
        )
        return cls(content["raw"], files, references)
