"""The raw dataset as it was last looked at, as a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RawRecord:
    """The raw dataset as it was last looked at.

    Attributes:
        content_hash: Digest of dataset.json, images and labels.
        cases: Case ids, sorted.
        voxels_checked: Whether the voxels were read; if not (a format other than NIfTI), nnU-Net's own integrity check
            must run before planning, whatever is declared.
        errors: What stops planning and training, a line a finding; empty: nothing.
        case_hashes: By case, the digest of its images and label; empty in records of older versions.
        image_hashes: By case, a digest of its images' voxels, however they are stored; of their files where the voxels
            were not read. A case whose images are all of one value has none.
        label_volumes_ml: By case and foreground label, the label's volume in ml; empty where the voxels were not read.
        curation: The folder in `.nnunet_assets/raw` that was looked at; empty: nnUNet_raw itself.
        digest_scheme: By which the digests were made (`digest_schemes`); records of older versions do not say: 1.
        kept_names: Cases with a digest of the first scheme though files lie beside theirs, to the digest of these.
        companions: By case, the files beside its images and label: what each is of, its path and SHA-256.
        orientations: Where the images' axes lead, such as `LPS`, to the number of cases; empty in older records, and
            where no place of an image is known.
    """

    content_hash: str
    cases: tuple[str, ...]
    voxels_checked: bool
    errors: str = ""
    case_hashes: Mapping[str, str] = field(default_factory=dict)
    image_hashes: Mapping[str, str] = field(default_factory=dict)
    label_volumes_ml: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curation: str = ""
    digest_scheme: int = 1
    kept_names: Mapping[str, str] = field(default_factory=dict)
    companions: Mapping[str, Sequence[tuple[str, str, str | None]]] = field(default_factory=dict)
    orientations: Mapping[str, int] = field(default_factory=dict)
