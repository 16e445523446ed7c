"""Images that nobody was scanned for, as the files of a format: what an example of a model's input is made of."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nnunet_assets.nnunet.images.image_reader import PHOTO_READER, TIFF_READER

_SIZE = 8


def synthetic_files(reader: str, ending: str, n_channels: int, spacing_mm: Sequence[float] | None) -> list[bytes]:
    """Returns the files of a case of random voxels, the same each time.

    Args:
        reader: Name of nnU-Net's reader.
        ending: Of the files.
        n_channels: How many the model expects; of natural images one file may hold three.
        spacing_mm: Of the voxels, z, y, x; None: 1 mm.
    """
    random = np.random.default_rng(0)
    in_one_file = reader == PHOTO_READER and n_channels == 3
    with TemporaryDirectory(prefix="nnunet_assets-") as name:
        files = [Path(name, f"case_{channel:04d}{ending}") for channel in range(1 if in_one_file else n_channels)]
        for file in files:
            _write(file, random, reader, n_channels if in_one_file else 1, spacing_mm or (1.0, 1.0, 1.0))
        return [file.read_bytes() for file in files]


def _write(file: Path, random: np.random.Generator, reader: str, n_samples: int, spacing_mm: Sequence[float]) -> None:
    if reader == PHOTO_READER:
        from PIL import Image

        shape = (_SIZE, _SIZE, 3) if n_samples == 3 else (_SIZE, _SIZE)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(file)
        return
    voxels = random.normal(100, 10, (_SIZE, _SIZE, _SIZE)).astype(np.float32)
    if reader == TIFF_READER:
        import tifffile

        tifffile.imwrite(file, voxels)
        return
    import SimpleITK

    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing([float(mm) for mm in reversed(spacing_mm)])
    SimpleITK.WriteImage(image, str(file))
