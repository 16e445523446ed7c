"""Label images read through nnU-Net's own readers."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from nnunet_assets.nnunet.images.label_image import label_reader


def test_what_is_printed_is_printed_again_after_many_threads_read_tiffs_without_spacing(tmp_path: Path) -> None:
    import tifffile

    files = [tmp_path / f"stack_{number}.tiff" for number in range(40)]
    for file in files:
        tifffile.imwrite(file, np.zeros((5, 6, 7), np.uint8))
    read, stdout = label_reader("Tiff3DIO", ".tiff"), sys.stdout
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(read, files))
    assert sys.stdout is stdout
    assert not any(image.is_spacing_known for image in images)
