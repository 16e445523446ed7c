"""Exports with their seals: by which `verify` finds what they were made from.

What carries a seal how is `core.verification.seal_carriers`' to know; Parquet has a field of the whole table.
"""

import io
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.verification.seal_carriers import sealed
from nnunet_assets.core.verification.seals import SEAL_NAME, Seal, Sealing, seals_in

if TYPE_CHECKING:
    import pyarrow

MOST_CELLS = 20_000_000
"""A few bytes of Parquet may unpack to any number of them."""


def sealed_file(content: bytes, name: str, sealing: Sealing) -> bytes:
    """Returns an export with its seal.

    Args:
        content: As it was made.
        name: Under which it is written.
        sealing: What the seal says.
    """
    return _sealed_parquet(content, name, sealing) if name.endswith(".parquet") else sealed(content, name, sealing)


def _sealed_parquet(content: bytes, name: str, sealing: Sealing) -> bytes:
    import pyarrow.parquet as pq

    table = read_parquet(content)
    seal = sealing.seal(name, table_digest(table)).text()
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({SEAL_NAME: seal}), file)
    return file.getvalue()


def read_parquet(content: bytes) -> "pyarrow.Table":
    """Returns the table in the bytes of a Parquet file.

    Raises:
        ValueError: They are none, or torn.
    """
    import pyarrow
    import pyarrow.parquet as pq

    try:
        found = pq.ParquetFile(pyarrow.BufferReader(content))
        if (n_cells := found.metadata.num_rows * found.metadata.num_columns) > MOST_CELLS:
            raise ValueError(f"it has {n_cells} cells, and no table of more than {MOST_CELLS} is read")
        return found.read()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"no Parquet: {error}") from None


def parquet_seal(table: "pyarrow.Table") -> Seal | None:
    """Returns the seal of a table that was read; None: it has none."""
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    found = seals_in(metadata.get(SEAL_NAME.encode(), b"").decode(errors="replace"))
    return found[0] if found else None


def table_digest(table: "pyarrow.Table") -> str:
    """Returns what names what a table says: its columns and cells."""
    columns: dict[str, list[Any]] = table.to_pydict()
    return json_sha256(list(columns.items()))
