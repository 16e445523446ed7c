"""Files beside an image from which nnU-Net's reader takes numbers of it; every digest and every cache key covers them.

- 3D TIFF: the spacing, in `CASE.json` without the channel's number; of a label image, in its own name with `.json`.
- MetaImage (.mhd) and NRRD (.nhdr) with detached data: the files that the header names.
- Analyze and NIfTI in two files: .hdr and .img.

Named as the readers name them, whether they are there or not: a file that comes later changes what is read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.files.json_file import UNREADABLE, load_json
from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.nnunet.images.image_reader import TIFF_READER
from nnunet_assets.nnunet.images.nifti import VolumeError

_MOST_HEADER_BYTES = 1 << 20
_PAIR = {".hdr": (".img", ".img.gz"), ".img": (".hdr", ".hdr.gz")}
PAIR_ENDINGS = (".hdr", ".img", ".hdr.gz", ".img.gz")
_CHANNEL_LENGTH = len("_0000")


@dataclass(frozen=True)
class Companion:
    """A file beside an image.

    Attributes:
        of: `image_0`, `image_1` ... by channel, or `label`.
        path: The file; it need not be there.
    """

    of: str
    path: Path


def case_companions(files: CaseFiles, reader: str | None) -> list[Companion]:
    """Returns the files beside those of a case, in the order of the case's files."""
    found = []
    for channel, image in enumerate(files.images):
        # Of a case in several 3D TIFFs nnU-Net looks at the first one's name only.
        if channel == 0 or reader != TIFF_READER:
            found += [Companion(f"image_{channel}", path) for path in image_companions(image, reader)]
    if files.label:
        found += [Companion("label", path) for path in label_companions(files.label, reader)]
    return found


def image_companions(image: Path, reader: str | None) -> list[Path]:
    """Returns the files beside an image."""
    if reader == TIFF_READER:
        return [_without(image, _CHANNEL_LENGTH)]
    return list(_data_files(image))


def label_companions(label: Path, reader: str | None) -> list[Path]:
    """Returns the files beside a label image, or beside a prediction, which has such a name too."""
    if reader == TIFF_READER:
        return [_without(label, 0)]
    return list(_data_files(label))


def tiff_spacing(sidecar: Path, name: str) -> tuple[float, float, float] | None:
    """Returns the spacing along Z, Y and X that a sidecar gives; None: there is no such file.

    Raises:
        VolumeError: It holds no spacing (D077).
    """
    try:
        spacing = load_json(sidecar)["spacing"]
        z, y, x = (float(mm) for mm in spacing if not isinstance(mm, bool | str))
        if len(spacing) == 3 and all(0 < mm < float("inf") for mm in (z, y, x)):
            return z, y, x
    except FileNotFoundError:
        return None
    except UNREADABLE:
        pass
    raise VolumeError(
        "D077",
        f"{sidecar} holds no spacing of {name}, which nnU-Net looks for there. Write three positive numbers, in mm "
        'along Z, Y and X: {"spacing": [3.0, 0.5, 0.5]}; or take the file away.',
    )


def _without(file: Path, n_last: int) -> Path:
    """Returns the sidecar as nnU-Net names it: by the text of the whole path, whatever the last characters are."""
    text = str(file)
    ending = "." + text.rsplit(".", maxsplit=1)[-1]
    return Path(text[: len(text) - len(ending) - n_last] + ".json")


def _data_files(file: Path) -> Iterator[Path]:
    ending = file.suffix.lower()
    if ending in _PAIR:
        yield from (file.with_suffix(other) for other in _PAIR[ending])
    elif ending in (".mhd", ".mha", ".nhdr", ".nrrd"):
        names = _named_in_nrrd if ending in (".nhdr", ".nrrd") else _named_in_meta_image
        for name in names(_start_of(file)):
            yield file.parent / name


def _start_of(file: Path) -> bytes:
    try:
        with open_regular(file) as opened:
            return opened.read(_MOST_HEADER_BYTES)
    except OSError:
        return b""


def _named_in_meta_image(start: bytes) -> Iterator[str]:
    # `ElementDataFile` is the last line of a header; voxels may follow.
    match = re.search(rb"^\s*ElementDataFile\s*=[ \t]*([^\r\n]*)(.*)", start, re.MULTILINE | re.DOTALL)
    value = match[1].decode(errors="replace").strip() if match else "LOCAL"
    if match and value.upper().split()[:1] == ["LIST"]:
        yield from (line.strip() for line in match[2].decode(errors="replace").splitlines() if line.strip())
    elif value.upper() != "LOCAL":
        yield from _numbered(value)


def _named_in_nrrd(start: bytes) -> Iterator[str]:
    header, _, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    match = re.search(rb"^data ?file: *([^\n]*)(.*)", header, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    if match is None:
        return
    value = match[1].decode(errors="replace").strip()
    if value.upper().split()[:1] == ["LIST"]:
        yield from (line.strip() for line in match[2].decode(errors="replace").splitlines() if line.strip())
    else:
        yield from _numbered(value)


def _numbered(value: str) -> Iterator[str]:
    """Yields the files that one name stands for: itself, or with `%03d` and the first, last and step after it."""
    match = re.fullmatch(r"(\S*%0?\d*d\S*)\s+(-?\d+)\s+(-?\d+)(?:\s+(-?\d+))?(?:\s+\d+)?", value)
    if match is None:
        if value:
            yield value
        return
    first, last, step = int(match[2]), int(match[3]), int(match[4] or 1) or 1
    # A header that names a million files names more than a folder holds.
    for number in list(range(first, last + (1 if step > 0 else -1), step))[:100_000]:
        yield match[1] % number
