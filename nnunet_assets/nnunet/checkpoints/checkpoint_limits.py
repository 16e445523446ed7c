"""What a checkpoint would take of the memory, known before torch reads it: one that unpacks to gigabytes is refused.

A checkpoint is a zip archive with a pickle and the tensors' bytes in it, stored as they are, so that torch maps these
into the memory without reading them; or, as torch wrote it before 1.6, pickles with the bytes behind them, which torch
reads whole. Both can be small and unpack to gigabytes. So entries must be as torch writes them, not compressed and not
over each other, and what the pickle would make is counted before it is made (`pickle_cost`).
"""

import io
import sys
import zipfile
from pathlib import Path

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.nnunet.checkpoints.pickle_cost import CheckpointTooLargeError, count_pickles

MOST_PICKLE_BYTES = 64 << 20
"""nnU-Net's are of one megabyte; of 33 after 4000 epochs with 117 labels, whose Dice of each epoch is in it."""

MOST_MADE_BYTES = 250 << 20
"""What a pickle may make, beside twice the size of its file: that much of the memory a real one's weights take too."""

MOST_LEGACY_BYTES = 400 << 20
"""The old form is read whole. nnU-Net v2 never wrote it, but somebody may have with a flag of torch's."""

MOST_ENTRIES = 20_000
_MOST_DIRECTORY_BYTES = 4 << 20
_SMALL_ENTRY_BYTES = 1 << 20
"""Entries beside pickle and tensors: a version, a byte order."""

_LEGACY_PICKLES = 5
"""Magic number, protocol, the writer's system, the content, and the keys of the tensors that follow."""


def refuse_oversized(file: Path) -> None:
    """Passes where reading the checkpoint takes no more memory than its size justifies.

    Raises:
        CheckpointTooLargeError: It would, or it is laid out in a way that torch does not write.
        pickle.UnpicklingError: It names what no checkpoint of weights needs.
        RuntimeError: It is damaged.
    """
    size = file.stat().st_size
    try:
        with open_regular(file) as opened:
            if opened.read(4) == b"PK\x03\x04":
                checked_pickle(file)
                return
            if size > MOST_LEGACY_BYTES:
                raise CheckpointTooLargeError(
                    f"it has {size / 1e9:.1f} GB in the form that torch wrote before 1.6, which is only read whole; "
                    "write it anew with a current torch: torch.save(torch.load(FILE, map_location='cpu'), NEW_FILE)"
                )
            opened.seek(0)
            start = opened.read(MOST_PICKLE_BYTES)
        count_pickles(io.BytesIO(start), _LEGACY_PICKLES, MOST_MADE_BYTES + 2 * size)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, KeyError, EOFError) as error:
        raise RuntimeError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


def checked_pickle(file: Path) -> bytes:
    """Returns the pickle in a checkpoint of the form that torch writes since 1.6, where `refuse_oversized` passes.

    Raises:
        zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, KeyError, EOFError: It is damaged.
        CheckpointTooLargeError, pickle.UnpicklingError, RuntimeError: As `refuse_oversized`.
    """
    size = file.stat().st_size
    pickled = _pickle_in(file, size)
    count_pickles(io.BytesIO(pickled), 1, MOST_MADE_BYTES + 2 * size)
    return pickled


def refuse_long_directory(file: Path) -> None:
    """Passes where the list of entries in a zip archive is short; asked before it is read.

    Raises:
        CheckpointTooLargeError: It is long. The last bytes of the file say how long it is.
        RuntimeError: They say nothing of it.
    """
    with open_regular(file) as opened:
        opened.seek(max(0, file.stat().st_size - 42))
        end = opened.read()[-42:]
        locator, record = end[:-22], end[-22:]
        if not record.startswith(b"PK\x05\x06") or record[-2:] != b"\0\0":
            raise RuntimeError("its end is not that of a whole archive; it is cut, or something follows it")
        n_bytes = int.from_bytes(record[12:16], "little")
        if locator.startswith(b"PK\x06\x07"):  # of archives beyond 4 GB
            opened.seek(int.from_bytes(locator[8:16], "little"))
            n_bytes = int.from_bytes(opened.read(56)[40:48], "little")
    if n_bytes > _MOST_DIRECTORY_BYTES:
        raise CheckpointTooLargeError(f"its list of entries has {n_bytes / 1e6:.3g} MB, which no checkpoint needs")


# --- the archive ----------------------------------------------------------------------------------------------------


def _pickle_in(file: Path, size: int) -> bytes:
    """Returns the archive's pickle, where every entry is as torch writes it."""
    refuse_long_directory(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(archive, entries, size)
        pickles = [
            entry for entry in entries if entry.filename.endswith("/data.pkl") and entry.filename.count("/") == 1
        ]
        if len(pickles) != 1:
            raise RuntimeError("it holds no data.pkl, so that torch did not write it as a checkpoint")
        if pickles[0].file_size > MOST_PICKLE_BYTES:
            raise CheckpointTooLargeError(
                f"its data.pkl, which holds all but the tensors, has {pickles[0].file_size / 1e6:.0f} MB; a checkpoint "
                "of nnU-Net has less than one"
            )
        byte_order = pickles[0].filename.replace("data.pkl", "byteorder")
        if byte_order in archive.namelist() and archive.read(byte_order) != sys.byteorder.encode():
            raise CheckpointTooLargeError("it was written on a machine of another byte order; write it anew here")
        return archive.read(pickles[0])


def _check_entries(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], size: int) -> None:
    problem = None
    names = [entry.filename.lower() for entry in entries]
    if len(entries) > MOST_ENTRIES:
        problem = f"it has {len(entries)} entries"
    elif archive.comment:
        problem = "it ends in a comment"
    elif len(set(names)) < len(names):
        problem = "it has two entries of one name"
    elif len({name.partition("/")[0] for name in names}) > 1:
        problem = "its entries lie in several folders"
    elif odd := next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None):
        problem = (
            f"{odd.filename} in it is compressed, from {odd.file_size / 1e6:.3g} MB to {odd.compress_size / 1e6:.3g} MB"
        )
    elif any(entry.flag_bits & 1 or entry.file_size != entry.compress_size for entry in entries):
        problem = "it has entries of contradicting sizes, or encrypted ones"
    elif sum(entry.file_size for entry in entries) > size:
        total = sum(entry.file_size for entry in entries)
        problem = f"its entries have {total / 1e6:.3g} MB together, and the file {size / 1e6:.3g} MB"
    elif large := next((entry for entry in entries if _is_small(entry) and entry.file_size > _SMALL_ENTRY_BYTES), None):
        problem = f"{large.filename} in it has {large.file_size / 1e6:.3g} MB"
    if problem:
        raise CheckpointTooLargeError(f"{problem}, which torch does not write")


def _is_small(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename.partition("/")[2]
    return name != "data.pkl" and not name.startswith("data/")
