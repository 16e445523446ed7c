"""The package of a model held against the project: its own digests, its weights and its numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, FinishedFold, FoldInputs
from nnunet_assets.core.model.model_description import DescribedMember
from nnunet_assets.core.verification.findings import Finding, Verification
from nnunet_assets.errors import NnunetAssetsError, PackageError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.data_checks import input_findings
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.package_contents import (
    commit_findings,
    description_findings,
    experiment_of,
    member_findings,
)
from nnunet_assets.workflows.verification.summary_walk import summary_findings
from nnunet_assets.workflows.verification.walk import Walk

WHAT = "the package of a model"


def package_verification(
    settings: Settings, walk: Walk, path: Path, left_out: Sequence[str], known: Sequence[KnownResult]
) -> Verification:
    """Returns what is found about a package, in a folder or zipped.

    Args:
        settings: Of the project.
        walk: How far.
        path: Of the folder or the zip.
        left_out: What is not looked at.
        known: The project's results.
    """
    name = str(path)
    with TemporaryDirectory() as cache:
        try:
            package = open_package_or_zip(path, settings.trusted_code, Path(cache))
        except NnunetAssetsError as error:
            return Verification.of(name, WHAT, [Finding("file", path.name, "changed", str(error))], left_out)
        findings = list(_findings(walk, path, package, known))
    return Verification.of(name, f"{WHAT}: {package.description.title}", findings, left_out)


def _findings(walk: Walk, path: Path, package: ModelPackage, known: Sequence[KnownResult]) -> Iterator[Finding]:
    n = len(package.description.files)
    sentence = f"Each of its {n} files is the one that its model.json names (package {package.digest[:12]})."
    yield Finding("file", path.name, "holds", sentence)
    for member in package.description.members:
        yield from _of_member(walk, package, member, known)
    yield from description_findings(walk, package, known)


def _of_member(
    walk: Walk, package: ModelPackage, member: DescribedMember, known: Sequence[KnownResult]
) -> Iterator[Finding]:
    experiment = experiment_of(member)
    if not experiment.model_folder(walk.roots).is_dir():
        sentence = f"{experiment.title} is not in this project: its weights cannot be compared with those of its folds."
        yield Finding("checkpoints", member.name, "unknown", sentence)
        return
    for fold in member.folds:
        yield _weights(walk, package, member, experiment, fold)
    finished = (FinishedFold.read(experiment.fold_folder(walk.roots, fold)) for fold in member.folds)
    yield from commit_findings(package, member, [fold for fold in finished if fold])
    yield from member_findings(walk, package, member)
    if digests := package.description.inputs.get(member.name):
        inputs = FoldInputs(training_hash="", **{name: digests.get(name, UNKNOWN) for name in _HASHES})
        yield from input_findings(walk, experiment, inputs)
    summary = next((one for one in known if one.kind == "cv_summary" and one.experiment == experiment), None)
    if summary:
        yield from summary_findings(walk, summary.content, summary.subject)


_HASHES = ("raw_hash", "plans_hash", "splits_hash")


def _weights(walk: Walk, package: ModelPackage, member: DescribedMember, experiment: Experiment, fold: str) -> Finding:
    """Compares the weights of a fold with those of the checkpoint that they were taken from."""
    from nnunet_assets.nnunet.packages.same_weights import have_same_weights

    packed = package.folder / member.path / fold / member.checkpoint
    there = experiment.fold_folder(walk.roots, fold)
    what = f"{member.name}, {fold}"
    walk.progress.say(f"The weights of {what} are compared.")
    places = [there, *sorted((there.parent / SUMMARY_FOLDER / "superseded").glob(f"{fold}_*"), reverse=True)]
    for place in places:
        checkpoint = place / member.checkpoint
        try:
            is_same = checkpoint.is_file() and have_same_weights(packed, checkpoint)
        except PackageError as error:
            return Finding("checkpoints", what, "unknown", str(error))
        if is_same and place == there:
            return Finding("checkpoints", what, "holds", f"The weights of {what} are those of {checkpoint}.")
        if is_same:
            sentence = f"The weights of {what} are those of {checkpoint}: {fold} was trained again since."
            return Finding("checkpoints", what, "changed", sentence)
    if not (there / member.checkpoint).is_file():
        sentence = (
            f"{there / member.checkpoint} is not there any more, so that the weights of {what} cannot be compared."
        )
        return Finding("checkpoints", what, "unknown", sentence)
    sentence = f"The weights of {what} are not those of {there / member.checkpoint}: it was trained again since."
    return Finding("checkpoints", what, "changed", sentence)
