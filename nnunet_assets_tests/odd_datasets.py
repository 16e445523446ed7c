"""Raw datasets as people have them, made from a seed: small ones, each odd in one to three ways.

An oddity is a function that changes a `Made` before it is written, or asks for something to be done to the files after.
"""

import gzip
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

Rng = np.random.Generator
NIFTI, ITK, PHOTO, TIFF = (".nii.gz", ".nii"), (".nrrd", ".mha", ".gipl"), (".png", ".bmp"), (".tif", ".tiff")


@dataclass
class Made:
    """A dataset before it is written.

    Attributes:
        folder: Where it goes.
        ending: Of its files, as it is written.
        images: By case, the channels; axes (X, Y, Z), or (X, Y) for pictures.
        labels: By case.
        affine: Of each case's files.
        content: Of dataset.json.
        oddities: What was changed, for people.
        after: What is done to the files.
        text: Turns the content into the bytes of dataset.json.
        is_flat: Whether the images have two axes.
    """

    folder: Path
    ending: str
    images: dict[str, list[np.ndarray]]
    labels: dict[str, np.ndarray]
    affine: dict[str, np.ndarray]
    content: dict[str, Any]
    oddities: list[str] = field(default_factory=list)
    after: list[Callable[[], object]] = field(default_factory=list)
    text: Callable[[dict[str, Any]], bytes] = lambda content: json.dumps(content, ensure_ascii=False).encode(
        errors="surrogatepass"
    )
    is_flat: bool = False

    def image(self, case: str, channel: int = 0) -> Path:
        return self.folder / f"imagesTr/{case}_{channel:04d}{self.ending}"

    def label(self, case: str) -> Path:
        return self.folder / f"labelsTr/{case}{self.ending}"

    def files(self) -> list[tuple[Path, np.ndarray, str]]:
        found = []
        for case, channels in self.images.items():
            found += [(self.image(case, n), voxels, case) for n, voxels in enumerate(channels)]
            found.append((self.label(case), self.labels[case], case))
        return found

    def rename(self, old: str, new: str) -> None:
        self.images[new] = self.images.pop(old)
        self.labels[new] = self.labels.pop(old)
        self.affine[new] = self.affine.pop(old)


Oddity = Callable[[Made, Rng], str]


def odd_dataset(root: Path, name: str, seed: int, oddities: Sequence[Oddity], most: int = 3) -> Made:
    """Writes the dataset of a seed and returns what was made, with the list of its oddities."""
    rng = np.random.default_rng(seed)
    made = plain_dataset(root / name, rng)
    wanted = int(rng.integers(1, most + 1))
    for index in rng.permutation(len(oddities)):
        oddity = oddities[int(index)]
        # Some change what only files of one format have.
        if len(made.oddities) < wanted and (what := oddity(made, rng)):
            made.oddities.append(f"{oddity.__name__}: {what}")
    write(made)
    return made


def plain_dataset(folder: Path, rng: Rng, ending: str | None = None) -> Made:
    """Returns a good dataset of any format: 5 to 6 cases, 1 to 2 channels, 1 to 2 labels."""
    ending = ending or str(rng.choice([*[".nii.gz"] * 6, ".nii", *ITK, *PHOTO, *TIFF]))
    is_flat = ending.lower() in PHOTO or (ending == ".tif" and rng.random() < 0.5)
    n_channels, n_labels = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    images, labels, affine = {}, {}, {}
    for n in range(int(rng.integers(5, 7))):
        shape = tuple(int(size) for size in rng.integers(9, 16, size=2 if is_flat else 3))
        label = np.zeros(shape, np.uint8)
        for value in range(1, n_labels + 1):
            label[tuple(slice(2 * value, 2 * value + 3) for _ in shape)] = value
        noise = rng.normal(100, 10, size=(n_channels, *shape))
        dtype = np.uint8 if ending in PHOTO or is_flat else np.int16
        images[f"case_{n:02d}"] = [(channel + 40 * label).clip(0, 255).astype(dtype) for channel in noise]
        labels[f"case_{n:02d}"] = label
        affine[f"case_{n:02d}"] = np.diag([1.0, 1.0, 2.0, 1.0])
    content = {
        "channel_names": {str(n): f"MRI {n}" for n in range(n_channels)},
        "labels": {"background": 0, **{f"organ {n}": n for n in range(1, n_labels + 1)}},
        "numTraining": len(images),
        "file_ending": ending,
    }
    return Made(folder, ending, images, labels, affine, content, is_flat=is_flat)


def write(made: Made) -> None:
    """Writes the files, does to them what is asked, then writes dataset.json."""
    for subfolder in ("imagesTr", "labelsTr"):
        (made.folder / subfolder).mkdir(parents=True)
    for path, voxels, case in made.files():
        write_image(path, voxels, made.affine[case], made.ending)
    for change in made.after:
        change()
    (made.folder / "dataset.json").write_bytes(made.text(made.content))


def write_image(path: Path, voxels: np.ndarray, affine: np.ndarray, ending: str) -> None:
    """Writes one file; voxels along X, Y, Z."""
    kind = ending.lower()
    if kind in NIFTI:
        content = _nifti(voxels, affine)
        path.write_bytes(gzip.compress(content, 1) if kind == ".nii.gz" else content)
    elif kind in ITK:
        import SimpleITK

        image = SimpleITK.GetImageFromArray(voxels.T)
        image.SetSpacing([float(mm) for mm in np.diag(affine)[: voxels.ndim]])
        plain = path.with_name(f"written{kind}")
        SimpleITK.WriteImage(image, str(plain))
        plain.rename(path)
    elif kind in TIFF:
        import tifffile

        tifffile.imwrite(path, voxels.T)
    elif kind in PHOTO:
        from PIL import Image

        is_16_bit = kind == ".png" and voxels.dtype.kind in "ui" and voxels.max(initial=0) > 255
        pixels = (
            np.nan_to_num(voxels.real).clip(0, 65535 if is_16_bit else 255).astype("uint16" if is_16_bit else "uint8")
        )
        Image.fromarray(np.ascontiguousarray(pixels.T)).save(path, format="BMP" if kind == ".bmp" else "PNG")
    else:
        path.write_bytes(voxels.tobytes())


def _nifti(voxels: np.ndarray, affine: np.ndarray) -> bytes:
    header = nibabel.Nifti1Image(voxels, np.eye(4), dtype=voxels.dtype).header
    header["pixdim"][1:4] = np.nan_to_num(np.linalg.norm(affine[:3, :3], axis=0))
    header["vox_offset"], header["magic"], header["sform_code"], header["qform_code"] = 352, b"n+1", 2, 0
    # By hand: nibabel refuses a matrix that has no orientation.
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
    return bytes(header.binaryblock) + bytes(4) + voxels.tobytes("F")


def _cases(made: Made, rng: Rng) -> list[str]:
    """Returns one case, or all of them."""
    cases = list(made.images)
    return cases if rng.random() < 0.4 else [str(rng.choice(cases))]


def _pick(rng: Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


# What dataset.json says.


def labels_declared(made: Made, rng: Rng) -> str:
    two = {"background": 0, "a": 1, "b": 2}
    choice = _pick(
        rng,
        [
            {"background": 0, "a": "1"},
            {"background": "0", "a": 1},
            {"background": 0.0, "a": 1},
            {"background": 0, "a": 1.0},
            {"background": 0, "a": True},
            {"background": False, "a": 1},
            {"background": 0, "a": [1]},
            {"background": 0, "a": [1], "b": [2]},
            {"background": 0, "a": [[1]]},
            {"background": 0, "a": None},
            {"background": 0, "a": -1},
            {"background": 0, "a": 2},
            {"background": 0, "a": " 1"},
            {"background": 0, "a": "١"},
            {"background": 0, "": 1},
            {"background": 0, "a/b": 1},
            {"background": 0, "a\nb": 1},
            {"background": 0, "é" * 300: 1},
            {"background": 0, "1": 1},
            {"background": 0, "background ": 1},
            {"a": 1, "background": 0},
            {"b": 2, "a": 1, "background": 0},
            {"background": 0},
            {"background": 0, "ignore": 1},
            {"background": 0, "a": 1, "ignore": 2},
            {"background": 0, "a": 1, "ignore": "2"},
            {"background": 0, "a": 1, "ignore": [2]},
            {"background": 0, "a": 1, "ignore": None},
            {"background": 0, "a": 1, "ignore": 0},
            {"background": 0, "a": 1, "ignore": 3},
            {"background": 0, "ignore": 2, "a": 1},
            {**two, "ignore": 3},
            {"background": 0, **{f"l{n}": n for n in range(1, 130)}},
            {"background": 0, **{f"l{n}": n for n in range(1, 300)}},
            [],
            ["background", "a"],
            {},
            None,
            "background",
            {"0": "background", "1": "a"},
            {"Background": 0, "a": 1},
        ],
    )
    made.content["labels"] = choice
    return f"{choice!r:.80}"


def regions_declared(made: Made, rng: Rng) -> str:
    labels = _pick(
        rng,
        [
            {"background": 0, "whole": [1, 2], "core": 2},
            {"background": 0, "whole": [1, 2], "core": [2]},
            {"background": 0, "core": 2, "whole": [1, 2]},
            {"background": 0, "whole": [1, 2]},
            {"background": 0, "whole": [0, 1]},
            {"background": 0, "whole": [0, 1, 2], "core": [2]},
            {"background": 0, "whole": [1, 1], "core": [2]},
            {"background": 0, "whole": [1, "2"], "core": [2]},
            {"background": 0, "whole": [1, 2], "core": [0]},
            {"background": 0, "whole": [1, 2], "core": 0},
            {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3},
            {"background": 0, "whole": [1, 2], "core": [2], "ignore": [3]},
            {"background": [0], "whole": [1, 2]},
            {"background": 0, "whole": [1, 2], "core": []},
            {"background": 0, "whole": [1, 2.0], "core": [2]},
            {"background": 0, "whole": [2, 1], "core": [2]},
        ],
    )
    order = _pick(rng, [[1, 2], [2, 1], [1], [1, 2, 3], ["1", "2"], [1.0, 2.0], None, "12", [1, None], {"1": 2}, [2]])
    made.content |= {"labels": labels, "regions_class_order": order}
    return f"{labels} {order}"


def channels_declared(made: Made, rng: Rng) -> str:
    n = len(made.content["channel_names"])
    numbered = [str(index) for index in range(n)]
    choice = _pick(
        rng,
        [
            dict.fromkeys(numbered, "CT"),
            dict.fromkeys(numbered, "ct"),
            dict.fromkeys(numbered, "noNorm"),
            dict.fromkeys(numbered, "zscore"),
            dict.fromkeys(numbered, "rescale_to_0_1"),
            dict.fromkeys(numbered, "rgb_to_0_1"),
            dict.fromkeys(numbered, ""),
            dict.fromkeys(numbered, " "),
            dict.fromkeys(numbered, None),
            dict.fromkeys(numbered, 1),
            {key: ["CT"] for key in numbered},
            dict.fromkeys(numbered, "MRT ü %s {x} $HOME"),
            dict.fromkeys(numbered, "x" * 600),
            dict.fromkeys(numbered, "a/b"),
            ["CT"] * n,
            "CT",
            {},
            None,
            {f"0{key}": "MRI" for key in numbered},
            {str(index + 1): "MRI" for index in range(n)},
            {f"channel_{key}": "MRI" for key in numbered},
            {"٠": "MRI"},
            dict.fromkeys([*numbered, str(n)], "MRI"),
            dict.fromkeys(reversed(numbered), "MRI"),
        ],
    )
    made.content["channel_names"] = choice
    return f"{choice!r:.80}"


def number_declared(made: Made, rng: Rng) -> str:
    n = made.content["numTraining"]
    choice = _pick(rng, ["gone", float(n), str(n), True, None, 0, -1, n + 1, [n], 10**30, float("nan"), 1e400])
    made.content["numTraining"] = choice
    if choice == "gone":
        del made.content["numTraining"]
    return repr(choice)


def ending_declared(made: Made, rng: Rng) -> str:
    ending = made.ending
    choice = _pick(
        rng,
        [ending.upper(), ending[1:], f"{ending} ", ending.title(), ".gz", "", None, 3, f"*{ending}", ".dcm", ".jpg"],
    )
    made.content["file_ending"] = choice
    if isinstance(choice, str) and choice.startswith(".") and rng.random() < 0.7:
        made.ending = choice
    return f"{choice!r}, files {made.ending}"


def reader_declared(made: Made, rng: Rng) -> str:
    names = ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient", "NaturalImage2DIO"]
    names += ["Tiff3DIO", "None", "", "simpleitkio", "BaseReaderWriter", "np", "load_json", "SimpleITKIO "]
    choice = _pick(rng, [*names, None, 0, False, ["SimpleITKIO"], {}])
    made.content["overwrite_image_reader_writer"] = choice
    return repr(choice)


def further_keys(made: Made, rng: Rng) -> str:
    key, value = _pick(
        rng,
        [
            ("modality", {"0": "CT"}),
            ("name", None),
            ("dataset", {}),
            ("dataset", []),
            ("dataset", None),
            ("numTest", "x"),
            ("regions_class_order", None),
            ("regions_class_order", [1]),
            ("nested", {"a": [{"b": [1, {"c": None}]}]}),
            ("big", 10**400),
            ("", ""),
            ("\udcff", 1),
            ("training", [{"image": "x"}]),
            ("labels ", {}),
        ],
    )
    made.content[key] = value
    return f"{key!a}: {value!r:.40}"


def entries(made: Made, rng: Rng) -> str:  # noqa: PLR0912 (a list of oddities, each by itself)
    """Lists the files under `dataset`."""
    kind = str(
        _pick(
            rng,
            [
                *("relative", "absolute", "variable", "upwards", "shuffled", "tilde", "more keys", "one twice"),
                *("text for images", "dots", "two cases one label", "missing label key", "odd name", "backslash"),
                *("as imagesTr of another", "none there", "unknown variable", "braces"),
            ],
        )
    )
    listed: dict[str, Any] = {}
    for case, channels in made.images.items():
        images = [f"imagesTr/{made.image(case, n).name}" for n in range(len(channels))]
        listed[case] = {"images": images, "label": f"labelsTr/{made.label(case).name}"}
    first = next(iter(listed))
    raw = f"$nnUNet_raw/{made.folder.name}/"
    if kind in ("absolute", "variable", "upwards", "tilde", "dots", "unknown variable", "braces"):
        prefix = {
            "absolute": f"{made.folder}/",
            "variable": raw,
            "upwards": f"../{made.folder.name}/",
            "tilde": "~/",
            "dots": "./../" + made.folder.name + "/./",
            "unknown variable": "$NOWHERE/",
            "braces": "${nnUNet_raw}/" + made.folder.name + "/",
        }[kind]
        listed = {
            case: {"images": [prefix + one for one in entry["images"]], "label": prefix + entry["label"]}
            for case, entry in listed.items()
        }
    elif kind == "shuffled":
        listed = dict(reversed(listed.items()))
    elif kind == "more keys":
        listed[first] |= {"note": "x", "fold": 1}
    elif kind == "one twice":
        listed["again"] = listed[first]
        made.content["numTraining"] = len(listed)
    elif kind == "text for images":
        listed[first]["images"] = listed[first]["images"][0]
    elif kind == "two cases one label":
        listed[first]["label"] = listed[list(listed)[1]]["label"]
    elif kind == "missing label key":
        del listed[first]["label"]
    elif kind == "odd name":
        listed[_pick(rng, ODD_NAMES)] = listed.pop(first)
    elif kind == "backslash":
        listed[first]["label"] = listed[first]["label"].replace("/", "\\")
    elif kind == "none there":
        listed = {}
    elif kind == "as imagesTr of another":
        made.after.append(lambda: shutil.move(made.folder / "imagesTr", made.folder / "images"))
        for entry in listed.values():
            entry["images"] = [one.replace("imagesTr", "images") for one in entry["images"]]
    made.content["dataset"] = listed
    return kind


def text_of_json(made: Made, rng: Rng) -> str:
    kind, change = _pick(
        rng,
        [
            ("byte order mark", lambda text: b"\xef\xbb\xbf" + text),
            ("UTF-16", lambda text: text.decode(errors="replace").encode("utf-16")),
            ("latin-1", lambda text: text.replace(b"organ", b"\xf6rgan")),
            ("CRLF", lambda text: text.replace(b", ", b",\r\n")),
            ("trailing comma", lambda text: text[:-1] + b",}"),
            ("comment", lambda text: b"// by hand\n" + text),
            ("single quotes", lambda text: text.replace(b'"', b"'")),
            ("two objects", lambda text: text + text),
            ("nothing", lambda _: b""),
            ("a list", lambda text: b"[" + text + b"]"),
            ("a key twice", lambda text: text[:-1] + b', "numTraining": 3}'),
            ("NaN", lambda text: text[:-1] + b', "x": NaN}'),
            ("a large number", lambda text: text[:-1] + b', "x": 1e999}'),
            ("trailing zero", lambda text: text + b"\0"),
            ("white space", lambda text: b" \n\t" + text + b"\n\n"),
            ("escaped surrogate", lambda text: text[:-1] + b', "x": "\\ud800"}'),
        ],
    )
    plain = made.text
    made.text = lambda content: change(plain(content))
    return str(kind)


# What files are called.

ODD_NAMES = [
    *("a b", "ü", "u\u0308", "日本", "%20", "%s", "{0}", "$HOME", "${HOME}", "a'b", 'a"b', "a;b", "a&b", "a*b", "[ab]"),
    *("-v", "--help", "a.b", "a.nii", "a.nii.gz", "a_0000", "a_seg", "a_0000_0000", "dataset", "plans", "summary"),
    *(
        "x" * 100,
        "x" * 200,
        "x" * 225,
        "x" * 235,
        "ü" * 100,
        "日" * 70,
        "a\tb",
        "a\nb",
        "a\\b",
        "a ",
        " a",
        "a.",
        "NUL",
    ),
    *("a#b", "a?b", "a|b", "a<b", "a:b", "\u202eabc", "\u200b", "😀", "1", "01", "1e5", "nan", "None", "True", "=1+1"),
    *("a.b2nd", "a.pkl", "a,b", "a@b", "a~", "~a", "#a#", "a.making", "a_segFromPrevStage", "fold_0", "all"),
]


def case_names(made: Made, rng: Rng) -> str:
    name = str(_pick(rng, ODD_NAMES))
    made.rename(list(made.images)[1], name)
    return f"{name[:30]!a} ({len(name.encode())} bytes)"


def pair_of_names(made: Made, rng: Rng) -> str:
    """Gives two cases names that later names may confuse."""
    one, other = _pick(
        rng,
        [
            *(
                ("a", "a_seg"),
                ("a", "a_0000"),
                ("a", "A"),
                ("a", "a.b"),
                ("a", "a_"),
                ("é", "e\u0301"),
                ("a", "a_0001"),
            ),
            *(("a_seg", "a_seg_seg"), ("a", "a_seg.b2nd"), ("1", "01"), ("a", "a ")),
        ],
    )
    first, second = list(made.images)[:2]
    made.rename(first, one)
    made.rename(second, other)
    return f"{one!a} and {other!a}"


# What else lies there.


def droppings(made: Made, rng: Rng) -> str:
    names = ["._{}", ".DS_Store", "Thumbs.db", "desktop.ini", "{}~", ".nfs0000000123", "Icon\r", ".~lock.{}#", "~${}"]
    chosen = [str(one) for one in rng.choice(names, size=2, replace=False)]

    def leave() -> None:
        for subfolder in ("imagesTr", "labelsTr"):
            first = min((made.folder / subfolder).iterdir()).name
            for name in chosen:
                (made.folder / subfolder / name.format(first)).write_bytes(b"\0\5\x16\7")
        (made.folder / "imagesTr" / "@eaDir").mkdir(exist_ok=True)
        (made.folder / "labelsTr" / ".ipynb_checkpoints").mkdir(exist_ok=True)

    made.after.append(leave)
    return f"{chosen}"


def strays(made: Made, rng: Rng) -> str:
    ending = made.ending
    name = str(_pick(rng, ["notes.txt", f"x{ending}", f"x_000{ending}", f"x_00000{ending}", ending, f"_0000{ending}"]))
    name = str(_pick(rng, [name, f"x_٠٠٠٠{ending}", f"x_0000{ending}.gz", "x_0000.json", f"x_0000{ending.upper()}"]))
    subfolder = str(_pick(rng, ["imagesTr", "labelsTr"]))
    made.after.append(lambda: (made.folder / subfolder / name).write_bytes(b"x"))
    return f"{subfolder}/{name!a}"


def folders(made: Made, rng: Rng) -> str:
    kind = str(
        _pick(
            rng,
            ["a folder as image", "no labelsTr", "link to a folder", "link of a link", "split of nobody", "imagesTs"],
        )
    )
    first = made.image("case_00") if "case_00" in made.images else next(path for path, _, _ in made.files())

    def change() -> None:
        if kind == "a folder as image":
            (made.folder / f"imagesTr/d_0000{made.ending}").mkdir()
        elif kind == "no labelsTr":
            shutil.rmtree(made.folder / "labelsTr")
        elif kind == "link to a folder":
            (made.folder / "imagesTr").rename(made.folder / "elsewhere")
            (made.folder / "imagesTr").symlink_to("elsewhere")
        elif kind == "link of a link":
            first.rename(made.folder / "one")
            (made.folder / "two").symlink_to("one")
            first.symlink_to("../two")
        elif kind == "split of nobody":
            (made.folder / "splits_final.json").write_text("[]")
        else:
            (made.folder / "imagesTs").mkdir()
            (made.folder / f"imagesTs/bad{made.ending}").write_bytes(b"")

    made.after.append(change)
    return kind


OF_THE_WHOLE: tuple[Oddity, ...] = (
    *(labels_declared, regions_declared, channels_declared, number_declared, ending_declared, reader_declared),
    *(further_keys, entries, text_of_json, case_names, case_names, pair_of_names, droppings, strays, folders),
)
"""Those of dataset.json and of names."""
