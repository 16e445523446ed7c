"""What of a raw dataset is left out or put right before anything is made from it, by somebody's word."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HEADER_TOLERANCE_MM = 0.1
"""How far headers of one case may be apart and still count as one place, where nobody says another number.

Rounding in converters gives 1e-6 to 1e-2 mm; a tenth of a millimetre is less than a voxel of any clinical image.
"""


@dataclass(frozen=True)
class Curation:
    """Which cases are left out, and which headers are put right in a copy. The originals are never touched.

    Attributes:
        quarantine: Case to the reason why it is left out.
        repair_headers_mm: Files of a case that lie apart by their headers, but by no more than so many millimetres, get
            the header of the case's first image; None: none does.
        files_from: Folders outside of nnUNet_raw in which files that dataset.json lists may lie; absolute.
    """

    quarantine: Mapping[str, str] = field(default_factory=dict)
    repair_headers_mm: float | None = None
    files_from: tuple[str, ...] = ()

    def over(self, other: "Curation") -> "Curation":
        """Returns both together; where they speak of the same, this one counts."""
        return Curation(
            quarantine={**other.quarantine, **self.quarantine},
            repair_headers_mm=other.repair_headers_mm if self.repair_headers_mm is None else self.repair_headers_mm,
            files_from=(*self.files_from, *other.files_from),
        )
