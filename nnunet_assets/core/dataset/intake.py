"""What the intake of a raw dataset leaves behind: a row a case, the findings, and the numbers of the whole."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_assets.core.dataset.findings import Finding


@dataclass(frozen=True)
class Intensities:
    """How the voxels of one image are distributed; those that are NaN or infinite do not count.

    Minimum and maximum are exact. The others are of at most 200,000 voxels, evenly spaced in the file.

    Attributes:
        minimum: Of all voxels.
        p00_5: The 0.5th percentile, as nnU-Net's fingerprint has it.
        q25: The first quartile.
        median: The second.
        q75: The third.
        p99_5: The 99.5th percentile.
        maximum: Of all voxels.
    """

    minimum: float
    p00_5: float
    q25: float
    median: float
    q75: float
    p99_5: float
    maximum: float


@dataclass(frozen=True)
class CaseRow:
    """One case of the table.

    Attributes:
        case: The case's name.
        shape: Voxels along X, Y, Z of the first channel; None where it was not or could not be read.
        spacing_mm: Voxel size likewise.
        intensities: By channel; None as for `shape`.
        label_voxels: By foreground label name; empty where the label image was not or could not be read.
        label_volumes_ml: Likewise, in ml.
        codes: Of what was found about the case, each once.
    """

    case: str
    shape: tuple[int, ...] | None
    spacing_mm: tuple[float, ...] | None
    intensities: tuple[Intensities | None, ...]
    label_voxels: Mapping[str, int]
    label_volumes_ml: Mapping[str, float]
    codes: tuple[str, ...]


@dataclass(frozen=True)
class IntakeReport:
    """A raw dataset as it was found.

    Attributes:
        dataset: `DatasetXXX_Name`.
        content_hash: Its data version.
        channel_names: By channel.
        foreground: The names of its labels, without `background` and `ignore`.
        cases: By name.
        findings: All that is wrong, errors and warnings.
        n_read: Cases whose files were read; the others had not changed since they were last read.
        voxels_checked: Whether voxels are looked at at all: those of NIfTI files are.
    """

    dataset: str
    content_hash: str
    channel_names: tuple[str, ...]
    foreground: tuple[str, ...]
    cases: tuple[CaseRow, ...]
    findings: tuple[Finding, ...]
    n_read: int
    voxels_checked: bool

    @property
    def n_errors(self) -> int:
        """Findings that stop planning and training."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def n_warnings(self) -> int:
        """Findings to look at."""
        return len(self.findings) - self.n_errors

    def headline(self) -> str:
        """Returns the result in one line: `50 cases, no errors, 2 warnings (D072 2)`."""
        counts = Counter(finding.code for finding in self.findings)
        codes = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
        parts = [_count(len(self.cases), "case"), _count(self.n_errors, "error"), _count(self.n_warnings, "warning")]
        return ", ".join(parts) + (f" ({codes})" if codes else "")

    def volumes_ml(self, label_name: str) -> Sequence[float]:
        """Returns the label's volume in each case that holds it."""
        volumes = [row.label_volumes_ml.get(label_name, 0.0) for row in self.cases]
        return [volume for volume in volumes if volume > 0]


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"
