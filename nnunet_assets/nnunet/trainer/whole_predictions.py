"""Predictions that are on the disk as nnU-Net made them, bound in the process that writes them.

SimpleITK takes no notice of a disk that is full, in NIfTI, NRRD, PNG and TIFF alike, and reads a file that was cut with
zeros where the rest was: its Dice would be wrong, without a word. (Tried with the disk's end at each of the last 300
bytes. Silent too: numpy's `save`. Not silent: torch 2.15, blosc2, numpy's `savez`, nibabel, MetaImage, Parquet.)
"""

import functools
import gzip
import zlib
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

_IS_CHECKED = "_nnunet_assets_reads_back"


def read_back_predictions(reader_writer: Any) -> None:
    """Makes nnU-Net's class of a format read back each segmentation that it writes.

    Args:
        reader_writer: The class, as the plans name it.
    """
    write = reader_writer.write_seg
    if hasattr(write, _IS_CHECKED):
        return

    @functools.wraps(write)
    def write_seg(self: Any, seg: Any, output_fname: str, properties: dict[str, Any]) -> None:
        write(self, seg, output_fname, properties)
        file = Path(output_fname)
        if not (_is_whole(file) and _holds(self, file, seg)):
            file.unlink(missing_ok=True)
            raise ChildFailure(
                ExitCode.NO_SPACE,
                f"{file} could not be written, most often because no space is left on the disk: what is there does not "
                "read as what was predicted.",
            )

    setattr(write_seg, _IS_CHECKED, True)
    reader_writer.write_seg = write_seg


def score_predictions_alone() -> None:
    """Makes nnU-Net's validation pass over what other systems leave beside predictions, such as `._CASE.nii.gz`.

    Whoever looks at a prediction from a Mac over the network leaves one; nnU-Net takes it for a prediction, and after
    all epochs dies of the reference that is not there.
    """
    from nnunetv2.evaluation import evaluate_predictions

    listed = evaluate_predictions.subfiles
    if hasattr(listed, _IS_CHECKED):
        return

    @functools.wraps(listed)
    def subfiles(*arguments: Any, **named: Any) -> list[str]:
        return [file for file in listed(*arguments, **named) if not is_dropping(Path(file).name)]

    setattr(subfiles, _IS_CHECKED, True)
    evaluate_predictions.subfiles = subfiles


def _is_whole(file: Path) -> bool:
    """Says whether what is compressed ends with its checksum; without one, only what is read can tell."""
    try:
        if file.suffix == ".gz":
            with gzip.open(file) as content:
                while content.read(1 << 22):
                    pass
        elif file.suffix == ".nrrd":
            header, _, compressed = file.read_bytes().partition(b"\n\n")
            unpacked = zlib.decompressobj(wbits=31)
            return b"encoding: gz" not in header or (bool(unpacked.decompress(compressed)) and unpacked.eof)
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _holds(reader_writer: Any, file: Path, seg: Any) -> bool:
    import numpy as np

    try:
        read = reader_writer.read_seg(str(file))[0]
    except Exception:  # noqa: BLE001 (every format has errors of its own for a file that was cut)
        return False
    return read.size == seg.size and bool(np.array_equal(np.reshape(read, seg.shape), seg))
