"""Random images in every format that nnU-Net's readers take, with the oddities of real headers; seeded.

Each is written byte by byte or by another library than the one that reads it, so that nothing is put right on the way.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np

SHAPES = [(3, 4, 5)] * 6 + [(1, 4, 5), (3, 4, 1), (3, 4), (3, 4, 5, 1), (3, 4, 5, 1, 1), (3, 4, 5, 2)]
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]
UNITS = [0, 1, 2, 3, 2 | 8, 3 | 16, 1 | 8, 8, 5]


class RandomFile(NamedTuple):
    """A label image's file, and what dataset.json says of its dataset.

    Attributes:
        path: The file.
        description: What decides about the reader.
        about: What is in it, for a failing test to show.
    """

    path: Path
    description: Mapping[str, Any]
    about: str


def random_file(folder: Path, seed: int) -> RandomFile:
    """Writes one file of a random kind into a folder of its own."""
    rng = np.random.default_rng(seed)
    place = folder / str(seed)
    place.mkdir(parents=True)
    makers: list[Callable[[Path, np.random.Generator], RandomFile]] = [_nifti, _itk, _tiff, _photo]
    return makers[rng.choice(4, p=[0.6, 0.2, 0.12, 0.08])](place, rng)


def _nifti(place: Path, rng: np.random.Generator) -> RandomFile:
    kind = nibabel.Nifti1Header if rng.random() < 0.93 else nibabel.Nifti2Header
    header = kind(endianness="<>"[rng.integers(2)])
    dtype = np.dtype(rng.choice(DTYPES)).newbyteorder(header.endianness)
    shape = SHAPES[rng.integers(len(SHAPES))]
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    about = _place(header, rng)
    if rng.random() < 0.3:
        header["scl_slope"], header["scl_inter"] = rng.choice([0, 1, 0.5, -2, 0.1, np.nan]), rng.choice([0, 3, -7])
    is_first = kind is nibabel.Nifti1Header
    offset = (352 if is_first else 544) + int(rng.choice([0, 16, 4, 1000], p=[0.7, 0.1, 0.1, 0.1]))
    if is_first and rng.random() < 0.05:
        offset = 348
    header["vox_offset"] = 0 if offset == 348 and rng.random() < 0.5 else offset
    header["magic"] = b"n+1" if is_first else b"n+2\0\r\n\x1a\n"
    voxels = rng.integers(0, 100, shape).astype(dtype)
    content = header.binaryblock.ljust(offset, b"\0") + voxels.tobytes("F")
    ending = ".nii.gz" if rng.random() < 0.8 else ".nii"
    path = place / f"a{ending}"
    packing = rng.choice(["gzip", "blocks", "none"], p=[0.8, 0.15, 0.05]) if ending == ".nii.gz" else "none"
    path.write_bytes(_packed(content, str(packing)))
    description: dict[str, Any] = {"file_ending": ending}
    if rng.random() < 0.3:
        readers = ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient", "None"]
        description["overwrite_image_reader_writer"] = str(rng.choice(readers))
    return RandomFile(path, description, f"{kind.__name__} {shape} {dtype} {about} {packing} at {offset}")


def _packed(content: bytes, packing: str) -> bytes:
    """Returns the content as it is, compressed, or compressed in several members, as `bgzip` and `cat` make them."""
    if packing == "none":
        return content
    parts = [content] if packing == "gzip" else [content[:300], content[300:500], content[500:]]
    return b"".join(gzip.compress(part, 1) for part in parts)


def _place(header: Any, rng: np.random.Generator) -> str:
    """Writes units, voxel sizes, qform and sform, which may disagree or be none."""
    sform, qform = _affine(rng), _affine(rng)
    if rng.random() < 0.6:
        qform = sform
    oddity = rng.choice(
        ["none", "shear", "slight shear", "singular", "pixdim", "qfac"], p=[0.6, 0.1, 0.1, 0.04, 0.1, 0.06]
    )
    codes = rng.integers(5, size=2)
    header.set_qform(qform, int(codes[1]))
    header.set_sform(sform, int(codes[0]))
    if "shear" in oddity:
        sform = sform.copy()
        sform[:3, 0] += sform[:3, 1] * (0.05 if oddity == "shear" else 10 ** rng.uniform(-7, -3))
        header.set_sform(sform, int(codes[0]))
    elif oddity == "singular":
        sform = sform.copy()
        sform[:3, 0] = rng.choice([0, 1]) * sform[:3, 1]
        header.set_sform(sform, int(codes[0]))
    elif oddity == "pixdim":
        header["pixdim"][1 + rng.integers(3)] = rng.choice([0, -1, -2.5, 7, np.nan])
    elif oddity == "qfac":
        header["pixdim"][0] = rng.choice([0, 1, -1, 3])
    header["xyzt_units"] = rng.choice(UNITS)
    return f"sform {codes[0]} qform {codes[1]} {'same' if qform is sform else 'other'} {oddity} {header['xyzt_units']}"


def _affine(rng: np.random.Generator) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = _rotation(rng) * 10 ** rng.uniform(-1, 1, 3)
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return affine


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """Returns directions: along the axes, permuted and turned round, a little or wholly oblique."""
    kind = rng.integers(4)
    turned: np.ndarray = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3) if kind else np.eye(3)
    if kind < 2:
        return turned
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = rng.normal(0, 0.1) if kind == 2 else rng.uniform(0, 2 * np.pi)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: np.ndarray = turned @ (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
    return rotation


def _itk(place: Path, rng: np.random.Generator) -> RandomFile:
    import SimpleITK

    ending = str(rng.choice([".nrrd", ".mha", ".nhdr", ".mhd", ".gipl", ".img", ".hdr"]))
    dtype = str(rng.choice(["u1", "i2", "u2", "f4"]))
    is_plane = ending not in (".gipl", ".img", ".hdr") and rng.random() < 0.2
    shape = (4, 5) if is_plane else (4, 5, 6)
    image = SimpleITK.GetImageFromArray(rng.integers(0, 100, shape).astype(dtype))
    image.SetSpacing([float(mm) for mm in 10 ** rng.uniform(-1, 1, len(shape))])
    image.SetOrigin([float(mm) for mm in rng.uniform(-100, 100, len(shape))])
    if not is_plane:
        image.SetDirection(_rotation(rng).ravel().tolist())
    path = place / f"a{ending}"
    SimpleITK.WriteImage(image, str(path), bool(rng.integers(2)))
    if ending == ".mha" and rng.random() < 0.3:
        text = path.read_bytes()
        path.write_bytes(text.replace(b"TransformMatrix = 1 0", b"TransformMatrix = 1 0.05", 1))
    description = {"file_ending": ending}
    if ending in (".nhdr", ".mhd", ".img", ".hdr"):
        description["overwrite_image_reader_writer"] = "SimpleITKIO"
    elif rng.random() < 0.2 and ending != ".gipl":
        description["overwrite_image_reader_writer"] = "SimpleITKIOWithReorient"
    return RandomFile(path, description, f"{ending} {shape} {dtype}")


def _tiff(place: Path, rng: np.random.Generator) -> RandomFile:
    import tifffile

    ending = str(rng.choice([".tif", ".tiff"]))
    path = place / f"a{ending}"
    shape = [(5, 6, 7), (5, 6, 7), (5, 6, 7), (5, 6, 7), (4, 6, 7), (6, 7), (4, 6, 3), (2, 4, 6, 7)][rng.integers(8)]
    dtype = str(rng.choice(["u1", "u2", "f4", "i2"]))
    voxels = rng.integers(0, 100, shape).astype(dtype)
    order: Any = "<>"[rng.integers(2)]
    packing = [None, "zlib"][rng.integers(2)]
    tifffile.imwrite(path, voxels, byteorder=order, compression=packing, photometric="minisblack")
    spacing: Any = [round(float(mm), 3) for mm in 10 ** rng.uniform(-1, 2, 3)]
    oddity = rng.choice(
        ["sidecar", "no sidecar", "two", "zero", "text", "no key", "no JSON"], p=[0.5, 0.2] + [0.06] * 5
    )
    contents = {"two": spacing[:2], "zero": [0, *spacing[1:]], "text": ["1", *spacing[1:]]}
    content = json.dumps({"spacing": contents.get(oddity, spacing)} if oddity != "no key" else {})
    if oddity != "no sidecar":
        (place / "a.json").write_text(content if oddity != "no JSON" else content[:-3])
    return RandomFile(path, {"file_ending": ending}, f"{ending} {shape} {dtype} {oddity}")


def _photo(place: Path, rng: np.random.Generator) -> RandomFile:
    from skimage import io

    ending = str(rng.choice([".png", ".bmp", ".png"]))
    shape = (6, 7) if rng.random() < 0.7 else (6, 7, 3)
    dtype = "u2" if ending == ".png" and rng.random() < 0.3 and len(shape) == 2 else "u1"
    path = place / f"a{ending}"
    io.imsave(path, rng.integers(0, 100, shape).astype(dtype), check_contrast=False)
    return RandomFile(path, {"file_ending": ending}, f"{ending} {shape} {dtype}")
