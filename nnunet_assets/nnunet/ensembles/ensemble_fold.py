"""A fold of an ensemble on disk: its masks, its scores, and the COMMIT that names its members.

On disk, in `nnUNet_results/DATASET/ensembles/NAME/`, beside `dataset.json` and `plans.json` of its first member:

    fold_k/validation/                    a mask a case, and nnU-Net's summary.json, as of a fold that was trained
    fold_k/.nnunet_assets/                manifest.json and COMMIT, as of a fold that was trained
    fold_k/.nnunet_assets/made_from.json  by case, what the masks are made from
    fold_k/.nnunet_assets/parts/          masks that are being written

A member that was trained or validated again makes the fold unfinished (see `core.fold.members`). What is killed goes on
with the next mask.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import load_json, read_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.fold.commit import COMMIT_FILE, MANIFEST_FILE, FinishedFold, Manifest, commit_fold
from nnunet_assets.core.fold.members import MEMBERS, Member, members_of, members_to_json
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.nnunet.ensembles.agreement import joint_inputs
from nnunet_assets.nnunet.ensembles.ensembling_request import CaseToEnsemble, FoldToEnsemble
from nnunet_assets.nnunet.folds.validation_files import VALIDATION
from nnunet_assets.nnunet.probabilities.finished_member import FinishedMember

VERSIONED = ("nnunet_assets", "nnunetv2", "numpy")
"""What the numbers of an ensemble depend on, beside its members."""


@dataclass(frozen=True)
class EnsembleFold:
    """A fold of an ensemble, to be made or made already.

    Attributes:
        ensemble: Its identity.
        members: The same fold of each member, in the order of their names; they agree.
        folder: `fold_k` of the ensemble.
        results: nnU-Net's folder of all results.
    """

    ensemble: Experiment
    members: tuple[FinishedMember, ...]
    folder: Path
    results: Path

    @classmethod
    def of(cls, ensemble: Experiment, members: tuple[FinishedMember, ...], roots: Roots) -> "EnsembleFold":
        """Returns the fold of an ensemble that these folds are the members of."""
        return cls(ensemble, members, ensemble.fold_folder(roots, members[0].fold), roots.results)

    @property
    def first(self) -> FinishedMember:
        """The member whose reader and description the files are written by."""
        return self.members[0]

    @cached_property
    def wanted(self) -> Mapping[str, str]:
        """Each case with the digest of what its mask is made from."""
        return {case: json_sha256([member.cases[case] for member in self.members]) for case in self.first.cases}

    @cached_property
    def named_members(self) -> list[Member]:
        """The members as the manifest names them."""
        return [
            Member(
                name=member.experiment.name_in_dataset,
                folder=member.model_folder.relative_to(self.results).as_posix(),
                commit=member.finished.sha256,
                checkpoint=member.checkpoint_sha256,
            )
            for member in self.members
        ]

    @property
    def is_finished(self) -> bool:
        """Whether it is there with all its masks, of these very members."""
        finished = FinishedFold.read(self.folder)
        return (
            finished is not None
            and finished.manifest.details.get(MEMBERS) == members_to_json(self.named_members)
            and not self.missing()
        )

    def begin(self) -> None:
        """Makes room for the masks, and keeps those that are made from what is wanted."""
        own = self.folder / OWN_FOLDER
        own.mkdir(parents=True, exist_ok=True)
        # From here on nobody takes it for finished.
        (own / COMMIT_FILE).unlink(missing_ok=True)
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir()
        validation = self.folder / VALIDATION
        validation.mkdir(exist_ok=True)
        before, ending = read_json(own / "made_from.json") or {}, self.first.description.file_ending
        kept = {f"{case}{ending}" for case, made in self.wanted.items() if before.get(case) == made}
        for file in validation.iterdir():
            if file.name not in kept and not (file.suffix == ".json" and f"{file.stem}{ending}" in kept):
                file.unlink()
        write_json_atomically(own / "made_from.json", dict(self.wanted))

    def missing(self) -> list[str]:
        """Returns the cases without a mask."""
        return [case for case in self.wanted if not self._mask(case).is_file()]

    def request(self, roots: Roots, cases_folder: Path, references: Path) -> FoldToEnsemble:
        """Returns what its process is asked for now.

        Args:
            roots: nnU-Net's folders of the project.
            cases_folder: As in `FoldToEnsemble`.
            references: As in `FoldToEnsemble`.
        """
        ending = self.first.description.file_ending
        cases = (
            CaseToEnsemble(
                name=case,
                probabilities=tuple(member.store(roots).file(case) for member in self.members),
                part=self._parts / f"{case}{ending}",
                file=self._mask(case),
            )
            for case in self.missing()
        )
        return FoldToEnsemble(self.folder, self.first.model_folder, cases_folder, references, tuple(cases))

    @property
    def is_scored(self) -> bool:
        """Whether every mask is there, and scores of exactly these cases."""
        try:
            digest = scores_digest(read_regular(self.folder / SUMMARY_FILE))
        except FileNotFoundError:
            return False
        return digest is not None and not self.missing()

    def commit(self, seconds: float) -> None:
        """Writes the manifest and the COMMIT of a fold that is scored; `seconds` is how long its masks took."""
        summary = self.folder / SUMMARY_FILE
        shutil.rmtree(self._parts, ignore_errors=True)
        commit_fold(
            self.folder,
            Manifest(
                fold=self.folder.name,
                inputs=joint_inputs(self.members),
                versions={name: version(name) for name in VERSIONED},
                device="cpu",
                seconds={"ensembling": round(seconds, 3)},
                n_epochs=0,
                peak_memory_bytes={},
                files={SUMMARY_FILE: file_sha256(summary)},
                details={
                    "experiment": asdict(self.ensemble),
                    MEMBERS: members_to_json(self.named_members),
                    "validation_cases": sorted(self.wanted),
                },
                scores=scores_digest(summary.read_bytes()),
            ),
        )

    @property
    def _parts(self) -> Path:
        return self.folder / OWN_FOLDER / "parts"

    def _mask(self, case: str) -> Path:
        return self.folder / VALIDATION / f"{case}{self.first.description.file_ending}"


def recorded_members(model_folder: Path) -> list[str]:
    """Returns the names of an ensemble's members within their dataset, also where a fold is not finished any more.

    Args:
        model_folder: `ensembles/NAME`; one that is no ensemble of this package's has none.
    """
    for fold in sorted(model_folder.glob("fold_[0-9]*")):
        try:
            members = members_of(Manifest.from_json(load_json(fold / OWN_FOLDER / MANIFEST_FILE)).details)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            continue
        if members:
            return [member.name for member in members]
    return []
