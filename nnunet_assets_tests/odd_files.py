"""Oddities of images and labels, as `odd_datasets` has those of dataset.json and of names."""

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from nnunet_assets_tests.odd_datasets import ITK, NIFTI, PHOTO, TIFF, Made, Oddity, Rng, _cases, _pick


def shapes(made: Made, rng: Rng) -> str:
    """Cuts or repeats every file of a case, or of all."""
    n_axes = 2 if made.is_flat else 3
    size = _pick(rng, [(1, 1, 1), (1, 9, 9), (9, 1, 9), (9, 9, 1), (2, 2, 2), (3, 40, 3), (1, 1, 30), (64, 9, 9)])
    if not made.is_flat and made.ending in NIFTI and rng.random() < 0.3:
        size = (12, 10)
    cases = _cases(made, rng)
    for case in cases:
        size_ = size[:n_axes]
        label = np.resize(np.arange(2, dtype=np.uint8), size_)
        made.images[case] = [(100 + rng.normal(0, 10, size_)).astype(channel.dtype) for channel in made.images[case]]
        made.labels[case] = label
    return f"{size[:n_axes]} in {len(cases)}"


def one_file_apart(made: Made, rng: Rng) -> str:
    case = str(rng.choice(list(made.images)))
    which = str(_pick(rng, ["label", "image"]))
    if which == "label":
        made.labels[case] = made.labels[case][..., :-1]
    else:
        made.images[case][-1] = made.images[case][-1][:-1]
    return which


def image_values(made: Made, rng: Rng) -> str:
    kind = str(
        _pick(
            rng,
            [
                *("zero", "constant", "negative", "zero but one", "zero where labelled", "huge", "tiny", "bool"),
                *("uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "nan", "inf"),
                *("complex", "one nan", "binary", "int8"),
            ],
        )
    )
    cases = _cases(made, rng)
    # Blank but for a corner, every one of them: the one dataset that is let through and not planned.
    cases = cases[:1] if kind == "zero but one" else cases
    for case in cases:
        made.images[case] = [_with_values(kind, one, made.labels[case]) for one in made.images[case]]
    return f"{kind} in {len(cases)}"


def _with_values(kind: str, voxels: np.ndarray, label: np.ndarray) -> np.ndarray:
    plain = voxels.astype(np.float32)
    if kind in ("uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "int8"):
        return (voxels.clip(0, 120)).astype(kind)
    if kind == "bool":
        return (voxels > 100).astype(np.uint8)
    if kind == "zero where labelled":
        return np.where(np.resize(label, voxels.shape) > 0, 0, voxels).astype(voxels.dtype)
    if kind == "one nan":
        plain.flat[-1] = np.nan
        return plain
    if kind == "zero but one":
        one = np.zeros_like(voxels)
        one.flat[-1] = 7
        return one
    changes: dict[str, Callable[[], np.ndarray]] = {
        "zero": lambda: np.zeros_like(voxels),
        "constant": lambda: np.full_like(voxels, 7),
        "negative": lambda: plain - 1000,
        "huge": lambda: plain * 1e30,
        "tiny": lambda: plain * 1e-30,
        "nan": lambda: np.full_like(plain, np.nan),
        "inf": lambda: np.full_like(plain, np.inf),
        "complex": lambda: plain.astype(np.complex64),
        "binary": lambda: (voxels > 100).astype(voxels.dtype),
    }
    changed: np.ndarray = changes[kind]()
    return changed


def label_values(made: Made, rng: Rng) -> str:
    kind = str(
        _pick(
            rng,
            [
                *("background", "undeclared", "half", "negative", "float", "float64", "int16", "255", "one voxel"),
                *("all foreground", "nan", "300", "uint16", "int64", "first declared only", "almost 1"),
            ],
        )
    )
    cases = _cases(made, rng)
    for case in cases:
        made.labels[case] = _label_with(kind, made.labels[case])
    return f"{kind} in {len(cases)}"


def _label_with(kind: str, label: np.ndarray) -> np.ndarray:
    if kind in ("float", "float64", "int16", "uint16", "int64"):
        return label.astype(np.float32 if kind == "float" else kind)
    if kind in ("background", "all foreground"):
        return np.full_like(label, int(kind != "background"))
    if kind == "first declared only":
        return label.clip(0, 1)
    if kind == "one voxel":
        one = np.zeros_like(label)
        one.flat[-1] = 1
        return one
    value: float = {"undeclared": 9, "half": 0.5, "negative": -1, "255": 255, "nan": np.nan, "300": 300}.get(
        kind, 1.0001
    )
    dtype: Any = (
        np.float32 if kind in ("half", "nan", "almost 1") else np.int16 if kind in ("negative", "300") else np.uint8
    )
    changed = label.astype(dtype)
    changed.flat[-1] = value
    return changed


def placement(made: Made, rng: Rng) -> str:
    """Moves, mirrors, shears or scales the grid; of NIfTI by the affine, of others by the spacing alone."""
    kind = str(
        _pick(
            rng,
            [
                *("large spacing", "small spacing", "zero spacing", "negative", "shear", "slight shear", "oblique"),
                *("anisotropic", "swapped", "nan", "inf", "far origin", "label alone", "mixed", "coarse"),
            ],
        )
    )
    cases = _cases(made, rng)
    for case in cases:
        affine = made.affine[case].copy()
        if kind in ("large spacing", "small spacing", "coarse"):
            affine[:3, :3] *= {"large spacing": 1e5, "small spacing": 1e-5, "coarse": 30}[kind]
        elif kind == "anisotropic":
            affine[2, 2] = 60
        elif kind == "zero spacing":
            affine[1, 1] = 0
        elif kind == "negative":
            affine[0, 0] *= -1
        elif kind in ("shear", "slight shear"):
            affine[0, 1] = 0.05 if kind == "shear" else 5e-5
        elif kind == "oblique":
            affine[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
        elif kind == "swapped":
            affine = affine[[1, 2, 0, 3]]
        elif kind in ("nan", "inf"):
            affine[0, 3] = float(kind)
        elif kind == "far origin":
            affine[:3, 3] = 1e7
        elif kind == "mixed":
            affine[:3, :3] *= float(rng.uniform(0.3, 4))
        made.affine[case] = affine
        if kind == "label alone" and made.ending in NIFTI:
            moved = nibabel.Nifti1Image(made.labels[case], np.diag([1, 1, 3.0, 1]))
            made.after.append(partial(moved.to_filename, made.label(case)))
    return f"{kind} in {len(cases)}"


def nifti_header(made: Made, rng: Rng) -> str:
    """Changes fields of a NIfTI's header; nothing in other formats."""
    if made.ending not in NIFTI:
        return ""
    kind = str(
        _pick(
            rng,
            [
                *("no forms", "slope 0", "slope nan", "slope on label", "slope on image", "micron", "metre", "no unit"),
                *("pixdim 0", "pixdim negative", "qfac 0", "four axes of 1", "five axes", "channels", "big endian"),
                *("nifti 2", "magic ni1", "vox_offset", "intent vector", "extension", "RGB", "qform only", "cal"),
            ],
        )
    )
    case = str(rng.choice(list(made.images)))
    path = made.label(case) if kind == "slope on label" or rng.random() < 0.3 else made.image(case)
    made.after.append(lambda: _rewrite(path, kind))
    return f"{kind} of {path.parent.name}"


def _rewrite(path: Path, kind: str) -> None:
    image = nibabel.load(path)
    voxels, affine = np.asarray(image.dataobj), image.affine
    if kind == "nifti 2":
        content = nibabel.Nifti2Image(voxels, affine).to_bytes()
    elif kind == "RGB":
        rgb = np.zeros(voxels.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        content = nibabel.Nifti1Image(rgb, affine).to_bytes()
    else:
        more = {"four axes of 1": (..., None), "five axes": (..., None, None)}.get(kind, ...)
        voxels = np.stack([voxels, voxels], axis=-1) if kind == "channels" else voxels[more]
        new = nibabel.Nifti1Image(voxels, affine)
        _change_header(new, kind)
        header = new.header.as_byteswapped(">") if kind == "big endian" else new.header
        swapped = voxels.astype(voxels.dtype.newbyteorder(">")) if kind == "big endian" else voxels
        content = header.binaryblock + b"\0" * 4 + swapped.tobytes("F")
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)


def _change_header(image: Any, kind: str) -> None:
    header = image.header
    header["vox_offset"], header["magic"] = 352, b"n+1"
    if kind == "no forms":
        header["qform_code"] = header["sform_code"] = 0
    elif kind == "qform only":
        image.set_qform(image.affine, 1)
        header["sform_code"] = 0
    elif kind.startswith("slope"):
        header["scl_slope"], header["scl_inter"] = (
            (0 if kind == "slope 0" else np.nan if kind == "slope nan" else 2.0),
            0,
        )
    elif kind in ("micron", "metre", "no unit"):
        header["xyzt_units"] = {"micron": 3, "metre": 1, "no unit": 0}[kind]
    elif kind.startswith("pixdim"):
        header["pixdim"][1] = 0 if kind == "pixdim 0" else -1
    elif kind == "qfac 0":
        header["pixdim"][0] = 0
    elif kind == "magic ni1":
        header["magic"] = b"ni1"
    elif kind == "vox_offset":
        header["vox_offset"] = 0
    elif kind == "intent vector":
        header["intent_code"] = 1007
    elif kind == "cal":
        header["cal_max"] = 1


def file_bytes(made: Made, rng: Rng) -> str:
    kind = str(
        _pick(rng, ["empty", "cut", "text", "trailing", "two members", "link to nowhere", "zeros", "other format"])
    )
    case = str(rng.choice(list(made.images)))
    path = made.label(case) if rng.random() < 0.4 else made.image(case)

    def change() -> None:
        content = path.read_bytes()
        if kind == "link to nowhere":
            path.unlink()
            path.symlink_to("/nowhere/at all")
            return
        changed = {
            "empty": b"",
            "cut": content[: len(content) * 2 // 3],
            "text": b"<!DOCTYPE html>",
            "trailing": content + b"\0garbage",
            "two members": content + gzip.compress(b"x"),
            "zeros": bytes(len(content)),
            "other format": b"\x89PNG\r\n\x1a\n" + content[8:],
        }[kind]
        path.write_bytes(changed)

    made.after.append(change)
    return f"{kind} of {path.parent.name}"


def pictures(made: Made, rng: Rng) -> str:
    """Gives PNG, BMP and flat TIFF other modes."""
    if not (made.ending in PHOTO or (made.ending == ".tif" and made.is_flat)):
        return ""
    mode = str(_pick(rng, ["RGB", "RGBA", "P", "1", "I;16", "LA", "L", "F"]))
    which = str(_pick(rng, ["image", "label", "all images", "all labels"]))
    names = list(made.images) if which.startswith("all") else [str(rng.choice(list(made.images)))]
    if which == "all images" and mode == "RGB" and rng.random() < 0.7:
        made.content["channel_names"] = {"0": "R", "1": "G", "2": "B"}
        for case in made.images:
            made.images[case] = made.images[case][:1]

    def change() -> None:
        from PIL import Image

        for case in names:
            path = made.label(case) if "label" in which else made.image(case)
            kind = {".png": "PNG", ".bmp": "BMP"}.get(made.ending.lower(), "TIFF")
            image = Image.open(path).convert("L")
            changed = image.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(image).astype(np.uint16))
            try:
                changed.save(path, format=kind)
            except OSError:  # the format has no such mode
                image.save(path, format=kind)

    made.after.append(change)
    return f"{mode} for {which}"


def tiffs(made: Made, rng: Rng) -> str:
    if made.ending not in TIFF or made.is_flat:
        return ""
    kind = str(
        _pick(rng, ["spacing", "two numbers", "zero", "text", "list", "no key", "negative", "label alone", "null"])
    )
    content: Any = {
        "spacing": {"spacing": [2.0, 1.0, 1.0]},
        "two numbers": {"spacing": [1.0, 1.0]},
        "zero": {"spacing": [0, 1, 1]},
        "text": {"spacing": ["2", "1", "1"]},
        "list": [2, 1, 1],
        "no key": {},
        "negative": {"spacing": [-1, 1, 1]},
        "null": {"spacing": None},
    }.get(kind, {"spacing": [3.0, 1.0, 1.0]})

    def write() -> None:
        import json

        for case in made.images:
            for subfolder in ("labelsTr",) if kind == "label alone" else ("imagesTr", "labelsTr"):
                (made.folder / subfolder / f"{case}.json").write_text(json.dumps(content))

    made.after.append(write)
    return kind


def itk_files(made: Made, rng: Rng) -> str:
    if made.ending not in ITK:
        return ""
    kind = str(_pick(rng, ["vector", "two axes", "direction", "spacing 0", "detached", "label vector"]))
    case = str(rng.choice(list(made.images)))
    path = made.label(case) if kind == "label vector" else made.image(case)

    def change() -> None:
        import SimpleITK

        image = SimpleITK.ReadImage(str(path))
        if kind in ("vector", "label vector"):
            image = SimpleITK.Compose(image, image)
        elif kind == "two axes":
            image = image[:, :, 2]
        elif kind == "direction":
            image.SetDirection([0, -1, 0, 1, 0, 0, 0, 0, 1])
        if kind in ("spacing 0", "detached"):
            content = path.read_bytes()
            path.write_bytes(
                content.replace(b"ElementSpacing = 1", b"ElementSpacing = 0")
                if kind == "spacing 0"
                else content.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = x.raw")
            )
        else:
            SimpleITK.WriteImage(image, str(path))

    made.after.append(change)
    return kind


OF_FILES: tuple[Oddity, ...] = (
    *(shapes, one_file_apart, image_values, label_values, placement, nifti_header, file_bytes, pictures, tiffs),
    itk_files,
)
