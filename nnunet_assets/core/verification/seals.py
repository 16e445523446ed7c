"""The seal of an export: one line of text in it that names what it was made from, and what it said then.

    nnunet_assets: export=cv_table.tex of=DATASET/EXPERIMENT source=sha256:... content=sha256:... version=0.2.0

It proves nothing against who means to deceive: the numbers are computed anew. It finds what the file was made from
wherever it was copied, and tells a slip of the pen where that is gone.
"""

import re
from dataclasses import dataclass, field
from importlib.metadata import version as version_of
from typing import Any

from nnunet_assets.core.files.digests import json_sha256

SEAL_NAME = "nnunet_assets"
"""What a seal begins with; in HTML, PNG and Parquet the name of the field that holds it."""

_SHA256 = r"sha256:(?P<{}>[0-9a-f]{{64}})"
_PATTERN = re.compile(
    rf"{SEAL_NAME}: export=(?P<export>[\w.-]+) of=(?P<of>[\w./-]+) source={_SHA256.format('source')} "
    rf"content={_SHA256.format('content')} version=(?P<version>[\w.+-]+)"
)


@dataclass(frozen=True)
class Seal:
    """What an export says of itself.

    Attributes:
        export: The name under which it was written, such as `cv_table.tex`.
        of: The experiment (`DATASET/VARIANT/TRAINER__PLANS__CONFIGURATION`) or dataset that it is of.
        source: SHA-256 of the content that it was made from.
        content: SHA-256 of what it said when it was made, see `seal_carriers`.
        version: Of this package.
    """

    export: str
    of: str
    source: str
    content: str
    version: str

    def text(self) -> str:
        """Returns the line; it holds nothing that a comment of TeX, HTML or XML cannot."""
        return (
            f"{SEAL_NAME}: export={self.export} of={self.of} source=sha256:{self.source} "
            f"content=sha256:{self.content} version={self.version}"
        )


@dataclass(frozen=True)
class Sealing:
    """What a seal says beside the content: known before the export is made.

    Attributes:
        of: As in `Seal`, and the others.
        source: See above.
        version: See above.
    """

    of: str
    source: str
    version: str = field(default_factory=lambda: version_of(SEAL_NAME))

    @classmethod
    def of_content(cls, of: str, content: Any) -> "Sealing":
        """Returns that of exports of a result, by its JSON content."""
        return cls(of, json_sha256(content))

    def seal(self, export: str, content: str) -> Seal:
        """Returns the seal of one export."""
        return Seal(export, self.of, self.source, content, self.version)

    @property
    def made_from(self) -> str:
        """What a row of a CSV says: `sha256:` and the digest of what it was made from."""
        return f"sha256:{self.source}"


def seals_in(text: str) -> list[Seal]:
    """Returns the seals in a text, in their order; a torn one is none."""
    return [Seal(**found.groupdict()) for found in _PATTERN.finditer(text)]


def source_in(cell: str) -> str | None:
    """Returns the digest in a cell that `Sealing.made_from` was written to; None: it holds something else."""
    found = re.fullmatch(r"sha256:([0-9a-f]{64})", cell.strip())
    return found.group(1) if found else None
