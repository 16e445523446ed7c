"""What shows only when all cases of a dataset are seen together: counts, doubles, rare labels, odd ones out."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription
from nnunet_assets.core.dataset.findings import Finding, Severity
from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.images.image_reader import TIFF_READER
from nnunet_assets.nnunet.images.nifti import most_voxel_bytes, shape_text
from nnunet_assets.nnunet.images.personal_data import is_personal_name
from nnunet_assets.nnunet.raw.case_files import IMAGES, LABELS

FEWEST_FOR_OUTLIERS = 5
"""Fewer cases are no cohort that one could stand out from."""
ODD_SPACING = 10.0
"""A voxel size this many times the median's, or one over it: another unit, not another scanner."""
ODD_SIZE = 10.0
"""The same for the extent in mm."""
ODD_Z = 8.0
"""Robust z-score (distance from the median over IQR / 1.349) beyond which an intensity is odd."""
SMALLEST_FEATURE_MAP = 4
"""Voxels along an axis, `UNet_featuremap_min_edge_length` of nnU-Net's planner."""
_LEAST_SPREAD = 0.05
"""Of a typical image's range of intensities: cases as alike as copies must not make every other one odd."""
_IQR_OF_NORMAL = 1.349


def count_findings(cases: Sequence[str], description: DatasetDescription, n_folds: int) -> Iterator[Finding]:
    """Compares the number of cases with dataset.json and with the folds; without cases there is nothing to compare."""
    n_cases = len(cases)
    if not n_cases:
        return
    if description.n_training != n_cases:
        said = "has no numTraining" if description.n_training is None else f"says numTraining {description.n_training}"
        message = (
            f'dataset.json {said}, but {n_cases} training cases were found. If these are all, write "numTraining": '
            f"{n_cases}; nnU-Net's integrity check compares."
        )
        severity: Severity = "warning" if description.n_training is None else "error"
        yield Finding("D016", severity, message, file=DATASET_JSON)
    if n_cases < n_folds:
        message = (
            f"{n_cases} cases cannot be split into {n_folds} folds, each with a case to validate on. Add cases, or set "
            f"folds to {n_cases} or less."
        )
        yield Finding("D029", "error", message)
    elif n_cases < 2 * n_folds:
        message = (
            f"{n_cases} cases in {n_folds} folds leave folds with one validation case; the mean of such a fold is that "
            "case's value."
        )
        yield Finding("D030", "warning", message)


def name_findings(cases: Sequence[str]) -> Iterator[Finding]:
    """Yields names that some file systems take for one, and names that may hold a person's data."""
    alike: dict[str, list[str]] = {}
    for case in cases:
        alike.setdefault(unicodedata.normalize("NFC", case).casefold(), []).append(case)
    for names in alike.values():
        if len(names) > 1:
            message = (
                f"The cases {first_offenders(names)} differ only in capitals or in how an accent is encoded. On macOS, "
                "Windows and many network drives they are one file; rename all but one."
            )
            yield Finding("D056", "warning", message, names[0])
    if n_personal := sum(is_personal_name(case) for case in cases):
        message = (
            f"{n_personal} of {len(cases)} case names look as if they held a date or a person's name (which is not "
            "shown here). Names go into tables, tags and logs; rename the cases before anything is shared."
        )
        yield Finding("D073", "warning", message)


def doubles(facts: Sequence[CaseFacts], of_two: str) -> Iterator[Finding]:
    """Yields images that are the same under two names, and channels of a case that are the same.

    Args:
        facts: Of all cases.
        of_two: What follows from two cases with one image, as the end of the message.
    """
    owners: dict[str, list[str]] = {}
    for fact in facts:
        for digest in image_digests(fact):
            if digest:
                owners.setdefault(digest, []).append(fact.case)
    reported = set()
    for cases in owners.values():
        names = tuple(dict.fromkeys(cases))
        if len(cases) == 1 or names in reported:
            continue
        reported.add(names)
        if len(names) == 1:
            message = f"Two channels of case {names[0]!r} hold the same voxels. Put the right image in place of one."
        else:
            message = f"The cases {first_offenders(sorted(names))} have the same image, voxel for voxel{of_two}"
        yield Finding("D054", "warning", message, names[0])


def image_digests(fact: CaseFacts) -> Sequence[str | None]:
    """Returns what copies of a case's images have in common, by channel; None and nothing: no image to compare.

    Of voxels where they were read: a copy may be compressed otherwise, or have another header.
    """
    if any(fact.voxel_sha256):
        return fact.voxel_sha256
    return [] if fact.are_voxels_read else fact.image_sha256


def tiffs_without_spacing(facts: Sequence[CaseFacts], reader: str | None) -> Iterator[Finding]:
    """Yields that 3D TIFFs have no sidecar with their spacing, which nnU-Net then assumes without a word."""
    if reader != TIFF_READER:
        return
    unknown = [fact.case for fact in facts if not any(of == "image_0" and sha for of, _, sha in fact.companions)]
    if unknown:
        sidecar = f"{IMAGES}/{unknown[0]}.json"
        which = "None of the cases has" if len(unknown) == len(facts) else f"{len(unknown)} of {len(facts)} cases lack"
        message = (
            f"{which} a file with the spacing of its 3D TIFFs ({first_offenders(unknown)}), so that nnU-Net takes 1 × "
            f'1 × 1 mm. If that is not so, write {{"spacing": [Z, Y, X]}} in mm into {sidecar}, without the channel\'s '
            f"number, and into {LABELS}/{unknown[0]}.json; likewise for each case."
        )
        yield Finding("D078", "warning", message)


def mixed_labels(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields that some label images hold colours and others do not: nnU-Net puts them into one batch, and stops."""
    counts = Counter(fact.label_channels for fact in facts if fact.label_channels)
    if len(counts) > 1:
        ((usual, n_usual),) = counts.most_common(1)
        odd = [fact.case for fact in facts if fact.label_channels not in (usual, None)]
        message = (
            f"{n_usual} label images hold {usual} number{'' if usual == 1 else 's'} a voxel, and those of "
            f"{first_offenders(odd)} another number, as colours do. nnU-Net's training stops at such a pair. Save each "
            "with one."
        )
        yield Finding("D046", "error", message, odd[0] if len(odd) == 1 else None)


def tiny_images(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields that every image is smaller than the smallest feature map of nnU-Net's networks."""
    shapes = [fact.geometry.shape for fact in facts if fact.geometry]
    largest = max((max(shape) for shape in shapes), default=SMALLEST_FEATURE_MAP)
    if largest < SMALLEST_FEATURE_MAP:
        message = (
            f"No image of {len(shapes)} has more than {largest} voxels along an axis ({shape_text(shapes[0])} the "
            f"first), fewer than the {SMALLEST_FEATURE_MAP} of the smallest feature map of nnU-Net's networks: every "
            "patch is mostly padding. Were the images cut or resampled by mistake?"
        )
        yield Finding("D071", "warning", message)


def resampled_away(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields the cases that nnU-Net would resample to nothing, or to more than the machine holds."""
    known = [fact for fact in facts if fact.geometry]
    if len({len(fact.geometry.shape) for fact in known if fact.geometry}) != 1:
        return
    # nnU-Net's planner takes the median, and less along one axis that is much coarser than the others.
    target = np.median([fact.geometry.spacing_mm for fact in known if fact.geometry], axis=0)
    for fact in known:
        if fact.geometry is None:
            continue
        voxels = np.round(np.array(fact.geometry.shape) * np.array(fact.geometry.spacing_mm) / target)
        n_bytes = 4 * float(np.prod(voxels))
        if not voxels.all():
            what = "to nothing"
        elif n_bytes > most_voxel_bytes():
            what = f"to {n_bytes / 4e9:.3g} billion voxels, more than this machine's memory holds"
        else:
            continue
        spacing = np.array(fact.geometry.spacing_mm)
        hint = _unit_hint(float(np.exp(np.abs(np.log(spacing / target))).max()))
        message = (
            f"Case {fact.case!r} has voxels of {_mm(spacing)}, and nnU-Net resamples it to the cohort's median of "
            f"{_mm(target)}: {what}.{hint} Correct its header, or leave the case out by `quarantine`."
        )
        yield Finding("D072", "error", message, fact.case)


def label_findings(n_cases_by_label: Mapping[str, int], n_folds: int, n_cases: int) -> Iterator[Finding]:
    """Yields labels that are in no or in few cases.

    Args:
        n_cases_by_label: Foreground label name to the cases that hold it.
        n_folds: Folds of the cross-validation.
        n_cases: Cases of the dataset.
    """
    if n_cases_by_label and not any(n_cases_by_label.values()):
        message = (
            f"No case holds any of {first_offenders(list(n_cases_by_label))}: there is nothing to learn. Check the "
            "label images."
        )
        yield Finding("D036", "error", message)
        return
    for name, n_with_label in n_cases_by_label.items():
        if n_with_label == 0:
            message = (
                f"The label {name!r} is in no case; its dice will be undefined. Take it out of dataset.json, or check."
            )
            yield Finding("D037", "warning", message, file=DATASET_JSON)
        elif n_with_label < n_folds <= n_cases:
            message = (
                f"The label {name!r} is in {n_with_label} cases only, so some of {n_folds} folds validate without it."
            )
            yield Finding("D038", "warning", message)


def outliers(facts: Sequence[CaseFacts], channel_names: Sequence[str]) -> Iterator[Finding]:
    """Yields cases whose voxel size, extent, orientation or intensities stand out from the cohort's."""
    placed = [fact for fact in facts if fact.geometry]
    n_axes = {len(fact.geometry.shape) for fact in placed if fact.geometry}
    if len(placed) >= FEWEST_FOR_OUTLIERS and len(n_axes) == 1:
        yield from _odd_sizes(placed)
        yield from _odd_orientations(placed)
    for channel, channel_name in enumerate(channel_names):
        read = [(fact.case, fact.intensities[channel]) for fact in facts if channel < len(fact.intensities)]
        # An image of one value is a finding of its own.
        known = [(case, values) for case, values in read if values and values.minimum < values.maximum]
        if len(known) >= FEWEST_FOR_OUTLIERS:
            yield from _odd_intensities(known, channel_name)


def _odd_sizes(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    spacings = np.array([fact.geometry.spacing_mm for fact in facts if fact.geometry])
    extents = spacings * np.array([fact.geometry.shape for fact in facts if fact.geometry])
    for values, limit, what in ((spacings, ODD_SPACING, "a voxel size"), (extents, ODD_SIZE, "an extent")):
        medians = np.median(values, axis=0)
        factors = np.exp(np.abs(np.log(values / medians)))
        odd = (factors > limit).any(axis=1)
        for fact, is_odd, value, factor in zip(facts, odd, values, factors, strict=True):
            # An image in metres is too small as a whole; once is enough.
            if is_odd and not (what == "an extent" and _is_odd_spacing(fact, spacings)):
                message = (
                    f"Case {fact.case!r} has {what} of {_mm(value)}, {factor.max():.3g} times off the cohort's median "
                    f"of {_mm(medians)}.{_unit_hint(float(factor.max()))} Check its header."
                )
                yield Finding("D072", "warning", message, fact.case)


def _is_odd_spacing(fact: CaseFacts, spacings: np.ndarray) -> bool:
    own = np.array(fact.geometry.spacing_mm if fact.geometry else ())
    return bool((np.exp(np.abs(np.log(own / np.median(spacings, axis=0)))) > ODD_SPACING).any())


def _odd_orientations(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    orientations = [(fact.case, fact.geometry.orientation) for fact in facts if fact.geometry]
    ((usual, n_usual),) = Counter(orientation for _, orientation in orientations).most_common(1)
    for case, orientation in orientations:
        if orientation != usual:
            message = (
                f"Case {case!r} is stored along {orientation}, and {n_usual} of {len(orientations)} cases along "
                f"{usual}. nnU-Net's default reader takes the voxels as they lie in the file, whatever its header says "
                "of left and right. Reorient image and label like those of the others."
            )
            yield Finding("D072", "warning", message, case)


def _odd_intensities(known: Sequence[tuple[str, Intensities]], channel_name: str) -> Iterator[Finding]:
    typical = float(np.median([values.p99_5 - values.p00_5 for _, values in known]))
    kinds: dict[str, Callable[[Intensities], float]] = {
        "median intensity": lambda values: values.median,
        "range of intensities": lambda values: values.p99_5 - values.p00_5,
    }
    found: dict[str, list[str]] = {}
    for what, of in kinds.items():
        numbers = np.array([of(values) for _, values in known])
        q25, median, q75 = np.quantile(numbers, (0.25, 0.5, 0.75))
        spread = max((q75 - q25) / _IQR_OF_NORMAL, _LEAST_SPREAD * typical)
        for (case, _), number in zip(known, numbers, strict=True):
            if spread > 0 and (z := abs(number - median) / spread) > ODD_Z:
                found.setdefault(case, []).append(f"a {what} of {number:.4g} (cohort: {median:.4g}, robust z {z:.0f})")
    for case, oddities in found.items():
        message = (
            f"Case {case!r} has, in {channel_name}, {' and '.join(oddities)}. Another unit, sequence or scaling? Look "
            "at it, and export it like the others if it is."
        )
        yield Finding("D072", "warning", message, case)


def _unit_hint(factor: float) -> str:
    if 500 <= factor <= 2000:
        return " That is the factor between mm and m, or mm and µm."
    return " That is the factor between mm and cm." if 9 <= factor <= 11 else ""


def _mm(values: np.ndarray) -> str:
    return " × ".join(f"{value:.4g}" for value in values) + " mm"
