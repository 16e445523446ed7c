"""What is said of intensities is what nnU-Net's own normalization does to the same arrays."""

import gzip
import re
import time
import tracemalloc
from collections.abc import Sequence
from inspect import getsource
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset import intensity_rules
from nnunet_assets.core.dataset.intensity_rules import Effect, Extremes, ct_effect, effects, scheme_of
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images.nifti import Volume
from nnunet_assets.nnunet.images.voxel_extremes import ExtremesOfCase
from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset
from nnunet_assets_tests.intake_defects import image_of, label_of, voxels_of
from nnunet_assets_tests.raw_builders import (
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)

CHANNELS = ("T1", "CT", "noNorm", "zscore", "rescale_to_0_1", "rgb_to_0_1")
SHAPE = (24, 25, 26)


def as_volume(voxels: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> Volume:
    """Returns a volume whose header does not matter."""
    made = Volume.__new__(Volume)
    for name, value in (("stored", np.asfortranarray(voxels)), ("slope", slope), ("intercept", intercept)):
        object.__setattr__(made, name, value)
    return made


def extremes(voxels: np.ndarray, label: np.ndarray | None = None, slope: float = 1.0) -> Extremes:
    case, path = ExtremesOfCase(), Path("image")
    case.add_image(path, as_volume(voxels, slope))
    if label is not None:
        case.add_label(as_volume(label))
    (found,) = case.of([path])
    assert found is not None
    return found


def found(voxels: np.ndarray, channel_name: str = "T1") -> list[Effect]:
    return list(effects(extremes(voxels), scheme_of(channel_name)))


def normalized(voxels: np.ndarray, channel_name: str, *, masked: bool = False) -> np.ndarray | None:
    """Returns what nnU-Net's class makes of an image as its reader hands it over; None: it stops."""
    from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import get_normalization_scheme

    statistics = {"mean": 40.0, "std": 60.0, "percentile_00_5": -100.0, "percentile_99_5": 250.0}
    with np.errstate(all="ignore"):
        image = np.array(voxels, np.float32)
        seg = np.where(image != 0, 0, -1).astype(np.int8)
        try:
            made: np.ndarray = get_normalization_scheme(channel_name)(masked, statistics).run(image, seg)
        except AssertionError:
            return None
    return made[seg >= 0] if masked else made


def body(rng: np.random.Generator, kind: str) -> np.ndarray:
    noise = rng.normal(size=SHAPE)
    if kind == "MR":  # a body in a background of 0
        return np.where(np.indices(SHAPE).sum(axis=0) % 71 > 30, 400 + 90 * noise, 0)
    if kind == "CT":
        return np.rint(np.where(np.indices(SHAPE)[0] < 12, -1000 + 5 * noise, 40 + 60 * noise))
    if kind == "vessels":  # a tail that is high and real
        return np.exp(4 + 1.3 * noise)
    return 100 + 20 * noise


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(["MR", "CT", "vessels", "noise"]),
    channel_name=st.sampled_from(CHANNELS),
    exponent=st.sampled_from([None, *np.arange(0.5, 42, 0.75).tolist()]),
    sign=st.sampled_from([1.0, -1.0]),
    n_planted=st.integers(1, 10),
    seed=st.integers(0, 10),
)
def test_what_is_found_is_what_nnunets_normalization_does(
    *, kind: Any, channel_name: Any, exponent: Any, sign: Any, n_planted: Any, seed: Any
) -> None:
    rng = np.random.default_rng(seed)
    clean = body(rng, kind)
    voxels = clean.copy()
    places = rng.choice(clean.size, n_planted, replace=False)
    if exponent is not None:
        voxels.flat[places] = sign * 10.0**exponent
    if channel_name == "rgb_to_0_1":
        voxels, clean = (np.clip(image, 0, None) if seed % 2 else image for image in (voxels, clean))

    severities = [effect.severity for effect in found(voxels, channel_name)]

    with np.errstate(over="ignore"):
        is_held = np.isfinite(voxels.astype(np.float32)).all()
    made = normalized(voxels, channel_name)
    is_lost = made is None or not np.isfinite(made).all() or made.min() == made.max()
    # CT clips what is infinite, but in a label it spoils the statistics: always an error.
    if is_lost or not is_held or made is None:
        assert severities == ["error"]
        return
    if channel_name == "noNorm":
        assert severities == ["warning"] * bool(np.abs(made).max() > 65504)
    elif channel_name == "CT":
        assert severities == ["warning"] * bool(exponent and exponent > 6)
    elif channel_name != "rgb_to_0_1":
        flattened = []
        for masked in (False, True):
            left = _spread(normalized(voxels, channel_name, masked=masked), places, masked=masked)
            flattened.append(_spread(normalized(clean, channel_name, masked=masked)) / max(left, 1e-9))
        # The end of a long tail, or a maximum of a few times the range, is no odd voxel, though nnU-Net goes by it.
        is_apart = (exponent or 0) > (5 if kind == "vessels" or channel_name == "rescale_to_0_1" else 3)
        if min(flattened) > 2.2 and is_apart:
            assert severities == ["warning" if min(flattened) < 1e4 else "error"] or 0.8e4 < min(flattened) < 1.2e4
        if min(flattened) < 1.8:
            assert severities == []


def _spread(image: np.ndarray | None, places: Sequence[int] = (), *, masked: bool = False) -> float:
    """Returns the standard deviation without the voxels at these places or, of a mask's, without the ten farthest."""
    assert image is not None
    values = image.astype(np.float64).ravel()
    if len(places) and masked:
        values = values[np.argsort(np.abs(values - np.median(values)))[:-10]]
    elif len(places):
        values = np.delete(values, places)
    return float(values.std())


@pytest.mark.parametrize("channel_name", ["T1", "rescale_to_0_1"])
@pytest.mark.parametrize("scale", [1e-15, 1e-12, 1e-7])
def test_values_smaller_than_what_nnunet_divides_by_are_found(channel_name: str, scale: float) -> None:
    voxels = scale * body(np.random.default_rng(1), "MR")
    made = normalized(voxels, channel_name)
    contrast = np.ptp(made) / np.ptp(normalized(voxels / scale, channel_name))
    (effect,) = found(voxels, channel_name) if scale < 1e-8 else (None,)
    assert (effect is None) == (contrast > 0.9)
    assert effect is None or effect.severity == ("error" if contrast < 2e-4 else "warning")


def test_an_offset_that_32_bits_do_not_hold_is_found() -> None:
    voxels = body(np.random.default_rng(1), "noise")
    assert found(voxels + 1e6) == []
    (effect,) = found(voxels + 1e9)
    assert effect.sentence.startswith("As 32-bit floats, in which nnU-Net reckons, its values go in steps of 64, and")
    (effect,) = found(voxels + 1e12)
    assert effect == Effect("error", "As 32-bit floats, in which nnU-Net reckons, all voxels are equal.")


def test_a_slope_that_makes_everything_infinite_is_an_error(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=6)
    image = nibabel.Nifti1Image((100 * voxels_of(image_of(folder, "case_2"))).astype(np.int16), np.diag([1, 1, 2, 1]))
    image.header.set_slope_inter(1e38, 0)
    image.to_filename(image_of(folder, "case_2"))
    raw = image_of(folder, "case_2")
    import SimpleITK

    with np.errstate(all="ignore"):
        read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(raw)).astype(np.float32)
    assert np.isinf(read).sum() > 100
    (finding,) = (one for one in inspect(folder).findings if one.code == "D033")
    assert (finding.severity, finding.case, finding.file) == ("error", "case_2", "imagesTr/case_2_0000.nii.gz")
    assert "more such voxels. nnU-Net reckons in 32-bit floats, which end at 3.4e+38" in finding.message


def inspect(folder: Path) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, n_folds=3)


def plant(folder: Path, case: str, value: float, voxel: tuple[int, int, int], dtype: Any = np.float32) -> None:
    voxels = voxels_of(image_of(folder, case)).astype(dtype)
    voxels[voxel] = value
    write_volume(image_of(folder, case), voxels)


class TestInADataset:
    @pytest.mark.parametrize(
        ("value", "dtype", "severity", "sentence"),
        [
            (3e38, np.float32, "error", "after z-score every voxel of the image is 0. Put a value there that makes"),
            (1e300, np.float64, "error", "after normalization voxels of the whole image are NaN. Put a value there"),
            (-1e6, np.float32, "error", "without this voxel: all the others are flattened 9"),
            (3000, np.float32, "warning", "without this voxel: all the others are flattened"),
        ],
    )
    def test_the_case_the_voxel_and_the_effect_are_named(
        self, tmp_path: Path, value: float, dtype: Any, severity: str, sentence: str
    ) -> None:
        folder = write_tiny_dataset(tmp_path, n_cases=6)
        plant(folder, "case_3", value, (0, 4, 5), dtype)
        (finding,) = (one for one in inspect(folder).findings if one.code != "D072")
        assert (finding.code, finding.severity, finding.case) == ("D033", severity, "case_3")
        assert finding.message.startswith(f"imagesTr/case_3_0000.nii.gz has {value:.6g} at index (0, 4, 5). ")
        assert sentence in finding.message

    def test_every_channel_is_looked_at_by_its_own_name(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_cases=6, n_channels=3)
        names = {"0": "noNorm", "1": "RGB_to_0_1", "2": "T2"}
        write_json(folder / "dataset.json", tiny_json(6, channel_names=names))
        found = [one for one in inspect(folder).findings if one.code == "D033"]
        assert {one.file[-11:-7] for one in found if one.file} == {"0001"}
        assert "Its values go from" in found[0].message
        assert "and nnU-Net stops there" in found[0].message

    def test_it_is_known_again_without_reading(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path / "raw", n_cases=6)
        plant(folder, "case_3", 3e38, (1, 1, 1))
        first, again = (
            inspect_raw_dataset(folder.parent, folder.name, 3, cache=FactCache(tmp_path / "facts.json"))
            for _ in range(2)
        )
        assert first.findings == again.findings

    def test_ct_is_spoilt_by_a_voxel_in_a_label_alone(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_cases=6)
        write_json(folder / "dataset.json", tiny_json(6, channel_names={"0": "CT"}))
        plant(folder, "case_1", 3e38, (0, 0, 0))
        plant(folder, "case_2", 3e38, (1, 1, 3))
        assert tiny_label()[1, 1, 3] == 2
        found = {one.case: one for one in inspect(folder).findings if one.code == "D033"}
        assert found["case_1"].severity == "warning"
        assert "CT normalization clips it, since it lies in no label" in found["case_1"].message
        assert found["case_2"].severity == "error"
        assert "and every voxel of every case becomes 0" in found["case_2"].message
        statistics, *_ = _fingerprint(folder)
        assert np.isinf(statistics["std"])


def _fingerprint(folder: Path) -> list[dict[str, float]]:
    """Returns the statistics of each channel as nnU-Net's fingerprint has them."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    drawn = []
    for image in sorted((folder / "imagesTr").iterdir()):
        label = label_of(folder, image.name[: -len("_0000.nii.gz")])
        with np.errstate(all="ignore"):
            values, _ = DatasetFingerprintExtractor.collect_foreground_intensities(
                voxels_of(label)[None], voxels_of(image).astype(np.float32)[None]
            )
        drawn.append(values[0])
    with np.errstate(all="ignore"):
        pooled = np.concatenate(drawn)
        return [{"mean": float(np.mean(pooled)), "std": float(np.std(pooled))}]


@pytest.mark.parametrize(("exponent", "severity"), [(2, None), (4, "warning"), (5, "warning"), (20, "error")])
def test_the_spread_of_ct_is_nnunets_where_the_voxel_is_drawn(
    exponent: int, severity: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    monkeypatch.setattr(intensity_rules, "SAMPLED", 1_000_000)  # which take a hundredth of the time, and of the memory
    rng = np.random.default_rng(3)
    label = np.zeros(SHAPE, np.uint8)
    label[5:9, 5:9, 5:9] = 1
    images = [40 + 60 * rng.normal(size=SHAPE) for _ in range(5)]
    images[0][6, 6, 6] = 10.0**exponent
    drawn = [
        DatasetFingerprintExtractor.collect_foreground_intensities(
            label[None], image.astype(np.float32)[None], num_samples=1_000_000 // len(images)
        )[0][0]
        for image in images
    ]
    with np.errstate(all="ignore"):
        theirs = float(np.std(np.concatenate(drawn)))
    effect = ct_effect(extremes(images[0], label), int(label.sum()), len(images), usual_spread=60.0)
    assert (effect and effect.severity) == severity
    if severity == "error":
        assert not np.isfinite(theirs)
    elif effect:
        said = float(effect.sentence.partition(" to ")[2].partition(",")[0])
        assert said == pytest.approx(theirs, rel=0.04)  # how often the one voxel is drawn is chance


def test_so_many_voxels_are_drawn_of_a_dataset() -> None:
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    said = re.findall(r"num_foreground_voxels_for_intensitystats = (\S+)", getsource(DatasetFingerprintExtractor))
    assert [float(number) for number in said] == [intensity_rules.SAMPLED]


class TestNoFalseAlarm:
    @pytest.mark.parametrize("channel_name", CHANNELS[:2])
    @pytest.mark.parametrize("seed", range(5))
    def test_metal_in_a_ct_and_high_tails_in_an_mr_are_none(self, channel_name: Any, seed: Any) -> None:
        rng = np.random.default_rng(seed)
        ct = body(rng, "CT")
        ct[10:13, 10:12, 3:6] = rng.choice([3071, 12_000, 30_000], size=(3, 2, 3))
        ct[0, 0, 0] = 30_000
        mr = body(rng, "MR")
        mr[5, :, 3] = 2500
        pet = np.exp(1.7 * rng.normal(size=SHAPE))
        pet[3:6, 3:6, 3:5] = 200
        sparse = np.zeros(SHAPE)
        sparse[4, 4:8, 4] = 1
        for image in (ct, mr, pet, sparse, body(rng, "vessels"), ct.astype(np.int16)):
            assert found(image, channel_name) == []

    def test_a_constant_image_is_a_finding_of_its_own(self) -> None:
        assert found(np.full(SHAPE, 7.0)) == []
        assert found(np.zeros(SHAPE)) == []


def test_it_takes_little_time_and_memory() -> None:
    voxels = np.asfortranarray(np.random.default_rng(0).normal(100, 20, (200, 200, 100)).astype(np.int16))
    voxels[3, 3, 3] = 32_000
    tracemalloc.start()
    began = time.process_time()
    case = ExtremesOfCase()
    case.add_image(Path("image"), as_volume(voxels))
    assert time.process_time() - began < 1.5  # 0.05 s without other work; nnU-Net's reading takes more
    assert tracemalloc.get_traced_memory()[1] < 20e6  # 4 million voxels
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("scale", "sentence"), [(1e-20, "nnU-Net divides by 1e-08 at the least"), (1e20, "infinite in")]
)
def test_numbers_that_z_score_turns_into_nothing_are_found_in_every_case(
    tmp_path: Path, scale: float, sentence: str
) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=6)
    for index in range(6):
        voxels = (scale * voxels_of(image_of(folder, f"case_{index}")).astype(np.float64)).astype(np.float32)
        made = normalized(voxels, "MRI")
        assert made is not None
        assert np.ptp(made) < 1e-6
        write_volume(image_of(folder, f"case_{index}"), voxels)
    findings = inspect(folder).findings
    assert [(one.code, one.severity) for one in findings] == 6 * [("D033", "error")]
    assert all(sentence in one.message for one in findings)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("slope", [0.0, -1.0, 1e-38, 2.1e-16, 2.3e-16, 1e-6, 1e36, 1e37, 3e38, np.inf, np.nan])
def test_a_slope_is_found_where_what_nnunets_reader_makes_of_it_is_lost(
    tmp_path: Path, ending: str, slope: Any
) -> None:
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    folder = write_tiny_dataset(tmp_path, n_cases=4, ending=ending)
    path = folder / f"imagesTr/case_2_0000{ending}"
    content = bytearray(nibabel.Nifti1Image((100 * tiny_image(2)).astype(np.int16), np.diag([1, 1, 2, 1])).to_bytes())
    content[112:120] = np.array([slope, 0], "<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(content)) if ending == ".nii.gz" else bytes(content))
    with np.errstate(all="ignore"):
        image = (SimpleITKIO if ending == ".nii.gz" else NibabelIO)().read_images((str(path),))[0][0]
    made = normalized(image, "MRI")
    is_lost = bool(made is None or not np.isfinite(made).all() or np.ptp(made) < 1e-3)
    assert [one.case for one in inspect(folder).findings if one.code == "D033"] == ["case_2"] * is_lost
