"""One training case: its checksums, its geometry, what its images and its label hold, and all that is wrong with it.

Knows nothing of the other cases: what is found here depends on the case's own files, on the labels of dataset.json and
on this code, so that it may be kept as long as they are the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.core.dataset.intensity_rules import Extremes
from nnunet_assets.core.files.digests import FileStat, file_sha256, json_sha256, stat_of
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.cases.reader_check import look_by_reader
from nnunet_assets.nnunet.images.case_geometry import Geometry, misplaced, placed
from nnunet_assets.nnunet.images.companion_files import PAIR_ENDINGS, Companion, case_companions
from nnunet_assets.nnunet.images.header_check import header_findings
from nnunet_assets.nnunet.images.image_reader import PHOTO_READER, TIFF_READER, reads_nifti_here
from nnunet_assets.nnunet.images.nifti import Volume, VolumeError, read_volume
from nnunet_assets.nnunet.images.nonzero_box import NonzeroBox
from nnunet_assets.nnunet.images.other_formats import other_placement
from nnunet_assets.nnunet.images.personal_data import personal_fields
from nnunet_assets.nnunet.images.reader_placement import (
    ITK_READERS,
    Placement,
    nifti_placement,
    refuse_unwritable_place,
)
from nnunet_assets.nnunet.images.reader_voxels import PlainVoxels, read_voxels
from nnunet_assets.nnunet.images.voxel_extremes import ExtremesOfCase
from nnunet_assets.nnunet.images.voxel_statistics import intensities_of, value_counts, voxel_sha256

_RESAMPLED = "A label image needs whole numbers; it was probably resampled with interpolation. Use nearest neighbour."


CompanionDigest = tuple[str, str, str | None]
"""What a file beside another is of (`image_0`, `label`), its path, and the SHA-256 of its bytes, None without it."""


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case once its files were read.

    Attributes:
        case: The case's name.
        image_sha256: By channel, of the file's bytes; None where it cannot be read.
        label_sha256: None where there is no label.
        companions: The files beside these from which nnU-Net's reader takes numbers (`companion_files`): what each is
            of, its path and the SHA-256 of its bytes; None where it is not there.
        voxel_sha256: By channel, of the voxels' values, however they are stored, or of the file that holds them alone;
            None where they were not read, or are all the same.
        intensities: By channel; None where they were not read.
        extremes: Likewise, what decides how normalization turns out.
        geometry: Of the first channel; None where it could not be read or its format has none.
        voxels_by_value: Value in the label image to its number of voxels; None where it could not be read, or holds
            several numbers a voxel.
        label_channels: How many numbers a voxel the label image holds, of a format other than NIfTI; None: not known.
        n_cropped_label_voxels: Voxels of labels that nnU-Net crops away, since every image is 0 from there to a border.
        are_voxels_read: Whether the first channel is a NIfTI whose voxels were read.
        findings: What is wrong.
    """

    case: str
    image_sha256: tuple[str | None, ...]
    label_sha256: str | None
    companions: tuple[CompanionDigest, ...] = ()
    voxel_sha256: tuple[str | None, ...] = ()
    intensities: tuple[Intensities | None, ...] = ()
    extremes: tuple[Extremes | None, ...] = ()
    geometry: Geometry | None = None
    voxels_by_value: Mapping[int, int] | None = None
    label_channels: int | None = None
    n_cropped_label_voxels: int = 0
    are_voxels_read: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def sha256(self) -> str:
        """The digest of every file from which nnU-Net takes the case."""
        return case_sha256(self.image_sha256, self.label_sha256, self.companions)


def check_case(files: CaseFiles, folder: Path, description: DatasetDescription, reader: str | None) -> CaseFacts:
    """Reads every file of a case once. One image at a time is in memory.

    Args:
        files: The case's.
        folder: The dataset's.
        description: Its dataset.json.
        reader: nnU-Net's reader of the dataset (`image_reader`); None: there is none.

    Raises:
        DatasetError: A file that was listed is gone: the disk, or the folder, was taken away.
    """
    beside = case_companions(files, reader)
    check = _Check(files.case, folder, description, reader, beside)
    companions = companion_digests(beside)
    images = [check.read(path, f"image_{channel}") for channel, path in enumerate(files.images)]
    label = check.read(files.label, "label") if files.label else None
    if companion_digests(beside) != companions:
        check.add_changed(beside)
    check.add_missing(companions)
    geometries = [read.geometry for read in [*images, *([label] if label else [])] if read.geometry]
    check.findings += misplaced(files.case, geometries)
    by_reader = None if check.is_voxels else check.look_by_reader(files)
    voxels_by_value = label.voxels_by_value if label and check.is_voxels else check.values_by_reader(files, by_reader)
    return CaseFacts(
        case=files.case,
        image_sha256=tuple(image.sha256 for image in images),
        label_sha256=label.sha256 if label else None,
        companions=companions,
        voxel_sha256=tuple(
            image.voxel_sha256 or _sha256_of_data(f"image_{channel}", companions, reader)
            for channel, image in enumerate(images)
        ),
        intensities=tuple(image.intensities for image in images),
        extremes=check.extremes.of(files.images),
        geometry=images[0].geometry if images else None,
        voxels_by_value=voxels_by_value,
        label_channels=None if by_reader is None else len(by_reader),
        n_cropped_label_voxels=check.n_cropped,
        are_voxels_read=check.is_voxels and bool(images) and images[0].geometry is not None,
        findings=tuple(check.findings),
    )


def companion_digests(beside: Sequence[Companion]) -> tuple[CompanionDigest, ...]:
    """Returns the digest of each file beside those of a case, as it is now."""
    return tuple((one.of, str(one.path), _sha256_or_none(one.path)) for one in beside)


def case_sha256(
    image_sha256: Sequence[str | None], label_sha256: str | None, companions: Sequence[CompanionDigest] = ()
) -> str:
    """Returns the digest of a case, from those of its images by channel, of its label, and of the files beside them.

    Where nothing lies beside them it is the digest of the first scheme, which knew no such files (`digest_schemes`).
    """
    return json_sha256(case_content(image_sha256, label_sha256, companions))


def case_content(
    image_sha256: Sequence[str | None], label_sha256: str | None, companions: Sequence[CompanionDigest] = ()
) -> dict[str, object]:
    """Returns what a case's digest is taken of."""
    content: dict[str, object] = {"images": list(image_sha256), "label": label_sha256}
    beside = [[of, sha256] for of, _, sha256 in companions if sha256]
    return {**content, "beside": beside, "scheme": 2} if beside else content


def _sha256_of_data(of: str, companions: Sequence[CompanionDigest], reader: str | None) -> str | None:
    """Returns the digest of an image's voxels where files beside it hold them, and nothing else."""
    data = [
        sha256
        for whose, path, sha256 in companions
        if whose == of and sha256 and not path.endswith((".hdr", ".hdr.gz"))
    ]
    return json_sha256(data) if data and reader != TIFF_READER else None


@dataclass(frozen=True)
class _Read:
    """What stays of a file after its voxels are let go."""

    sha256: str | None
    geometry: Geometry | None = None
    voxel_sha256: str | None = None
    intensities: Intensities | None = None
    voxels_by_value: Mapping[int, int] | None = None


@dataclass
class _Check:
    case: str
    folder: Path
    description: DatasetDescription
    reader: str | None
    beside: Sequence[Companion]
    findings: list[Finding] = field(default_factory=list)
    extremes: ExtremesOfCase = field(default_factory=ExtremesOfCase)
    box: NonzeroBox = field(default_factory=NonzeroBox)
    n_cropped: int = 0

    @property
    def is_voxels(self) -> bool:
        return reads_nifti_here(self.reader, self.description.file_ending)

    @property
    def _is_zeroed(self) -> bool:
        """Whether what is no number comes out of the reader as 0: ITK does that with NIfTI, and nobody else."""
        return self.is_voxels and self.reader in ITK_READERS

    def read(self, path: Path, of: str) -> _Read:
        name = _relative(path, self.folder)
        before = _stat_or_gone(path, name)
        is_label = of == "label"
        read = self._read_voxels(path, name, is_label) if self.is_voxels else self._read_bytes(path, name, is_label)
        if _stat_or_gone(path, name) != before:
            self._add("D051", f"{name} changed while it was read. Look again when nothing writes there.", name)
        return read

    def add_changed(self, beside: Sequence[Companion]) -> None:
        names = first_offenders([_relative(one.path, self.folder) for one in beside])
        self._add("D051", f"A file of {names} changed while the case was read. Look again.", names)

    def add_missing(self, companions: Sequence[CompanionDigest]) -> None:
        """Adds each file that a header names for its voxels and that is not there."""
        there = {of for of, _, sha256 in companions if sha256}
        for of, path, sha256 in companions:
            # A TIFF may do without its sidecar; of an image in two files, the other may be compressed or not.
            if sha256 is None and self.reader != TIFF_READER and (of not in there or not path.endswith(PAIR_ENDINGS)):
                name = _relative(Path(path), self.folder)
                message = (
                    f"{name} holds the voxels of the case's {of.replace('_', ' ')} by its header, and is not there. "
                    "Bring it too, or write header and voxels into one file."
                )
                self._add("D049", message, name)

    def look_by_reader(self, files: CaseFiles) -> np.ndarray | None:
        """Asks nnU-Net's reader what nnU-Net's integrity check will ask; returns the label, axes (channel, Z, Y, X).

        None where files are missing or were refused already.
        """
        if self.reader is None or not files.images or self._has_errors:
            return None
        names = {path: _relative(path, self.folder) for path in case_paths(files)}
        look = look_by_reader(files, names, self.reader, len(self.description.channel_names))
        for code, message, name in look.problems:
            self._add(code, message, name)
        return look.label

    def values_by_reader(self, files: CaseFiles, label: np.ndarray | None) -> Mapping[int, int] | None:
        """Returns the number of voxels by label value; None where nobody can tell which of several is the label."""
        if label is None or files.label is None:
            return None
        found = self._label_values(label, _relative(files.label, self.folder))
        return found if len(label) == 1 else None

    @property
    def _has_errors(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def _read_bytes(self, path: Path, name: str, is_label: bool) -> _Read:
        try:
            sha256 = file_sha256(path)
        except OSError as error:
            self._add("D053", f"{name} cannot be read: {error.strerror or error}.", name)
            return _Read(None)
        # Every channel of a 3D TIFF has the first one's.
        sidecars = [one.path for one in self.beside if (one.of == "label") == is_label]
        try:
            placement = other_placement(path, name, self.reader, next(iter(sidecars), None))
        except VolumeError as error:
            self._add(error.code, str(error), name)
            return _Read(sha256)
        self._look_at_voxels(path, name, is_label, placement)
        return _Read(sha256, placed(name, placement) if placement else None)

    def _look_at_voxels(self, path: Path, name: str, is_label: bool, placement: Placement | None) -> None:
        try:
            voxels = read_voxels(path, name, self.reader, placement.shape if placement else ())
        except VolumeError as error:
            self._add(error.code, str(error), name)
            return
        if is_label and voxels is None and self.reader in (*ITK_READERS, PHOTO_READER):
            message = (
                f"{name} holds several numbers a voxel, as colours do; nnU-Net trains with them as they come, and no "
                "evaluation can tell which of them is the label. Save it with one."
            )
            self._add("D046", message, name, warning=True)
        elif voxels and is_label:
            self._look_at_label(voxels)
        elif voxels:
            self._look_at_image(path, voxels)
            self._check_image(voxels, name)

    def _look_at_image(self, path: Path, volume: Volume | PlainVoxels) -> None:
        self.extremes.add_image(path, volume)
        self.box.add_image(volume)

    def _look_at_label(self, volume: Volume | PlainVoxels) -> None:
        self.extremes.add_label(volume)
        self.n_cropped = self.box.n_lost(volume)

    def _read_voxels(self, path: Path, name: str, is_label: bool) -> _Read:
        try:
            volume = read_volume(path, name, as_itk=self.reader in ITK_READERS)
            placement = nifti_placement(path, name, volume.header, str(self.reader))
            refuse_unwritable_place(name, placement, str(self.reader))
        except VolumeError as error:
            self._add(error.code, str(error), name)
            return _Read(_sha256_or_none(path))
        geometry = placed(name, placement)
        self._check_header(volume, name)
        for code, message in header_findings(name, volume.header, placement):
            self._add(code, message, name, warning=True)
        if is_label:
            self._look_at_label(volume)
            return _Read(volume.sha256, geometry, voxels_by_value=self._label_values(volume.values(), name))
        intensities = intensities_of(volume)
        self._look_at_image(path, volume)
        is_constant = self._check_image(volume, name)
        return _Read(volume.sha256, geometry, None if is_constant else voxel_sha256(volume), intensities)

    def _add(self, code: str, message: str, name: str, *, warning: bool = False) -> None:
        self.findings.append(Finding(code, "warning" if warning else "error", message, self.case, name))

    def _check_header(self, volume: Volume, name: str) -> None:
        if name.lower().endswith(".gz") and not volume.is_gzip:
            message = (
                f"{name} is not compressed although its name ends in .gz; many tools will not open it. Run gzip on it."
            )
            self._add("D049", message, name, warning=True)
        if fields := personal_fields(volume.header, volume.extensions):
            message = (
                f"{name} may hold personal data in its header ({first_offenders(fields)}; what it says is not shown "
                "here). Look, and empty these fields before the file is shared."
            )
            self._add("D073", message, name, warning=True)

    def _check_image(self, volume: Volume | PlainVoxels, name: str) -> bool:
        """Returns whether all voxels have the same value."""
        stored = volume.stored
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            for code, kind, mask in (("D031", "NaN", np.isnan(stored)), ("D032", "infinity", np.isinf(stored))):
                if n_voxels := int(mask.sum()):
                    self._add(code, _not_finite(name, n_voxels, kind, mask, is_read_as_0=self._is_zeroed), name)
        elif stored.min() == stored.max():
            self._add("D034", f"{name} has the same value in every voxel; is it the right file?", name, warning=True)
            return True
        return False

    def _label_values(self, values: np.ndarray, name: str) -> Mapping[int, int] | None:
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)  # as nnU-Net reads it: a slope of 0.1 is not exact
            not_whole = values != np.rint(values)  # NaN too; an infinite value is caught as undeclared
            if n_voxels := int(not_whole.sum()):
                examples = first_offenders([f"{value:g}" for value in np.unique(values[not_whole])])
                self._add(
                    "D040", f"{name} has {_voxels(n_voxels)} between whole numbers ({examples}). {_RESAMPLED}", name
                )
                return None
            # Counting is much faster than sorting.
            if values.size and np.abs(values).max() <= np.iinfo(np.int16).max:
                values = values.astype(np.int16)
        counts = value_counts(values)
        declared = self.description.voxel_values
        if unknown := [(value, n) for value, n in counts.items() if value not in declared]:
            shown = first_offenders([f"{value:g} ({_voxels(n)})" for value, n in unknown])
            message = (
                f"{name} has values that dataset.json does not declare: {shown}; it declares "
                f"{first_offenders(declared)}. Correct the label image, or declare the label."
            )
            self._add("D039", message, name)
        if list(counts) == [0]:
            self._add("D035", f"{name} is all background; is it the right file?", name, warning=True)
        return {int(value): n for value, n in counts.items() if value in declared}


def case_paths(files: CaseFiles) -> Iterator[Path]:
    """Yields the files of a case, the images by channel and then the label."""
    yield from files.images
    if files.label:
        yield files.label


def _stat_or_gone(path: Path, name: str) -> FileStat:
    try:
        return stat_of(path)
    except OSError as error:
        raise DatasetError(
            f"{name} was there when the reading of the dataset began, and is gone now ({error.strerror}): {path}. Was "
            "the disk or the folder taken away? Bring it back and look again; what was read until now is kept."
        ) from None


def _not_finite(name: str, n_voxels: int, kind: str, mask: np.ndarray, *, is_read_as_0: bool) -> str:
    first = tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
    read = "nnU-Net would read 0 there" if is_read_as_0 else "nnU-Net takes it as it is, and mean and spread with it"
    return (
        f"{name} has {_voxels(n_voxels)} of {kind}, the first at index {first}. {read}; put a value that makes sense "
        "for the image."
    )


def _voxels(n_voxels: int) -> str:
    return "1 voxel" if n_voxels == 1 else f"{n_voxels} voxels"


def _sha256_or_none(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
