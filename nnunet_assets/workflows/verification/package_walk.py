"""The package of a model held against the project: its own digests, its weights and its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnunet_assets.core.files.layout import SUMMARY_FOLDER, Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.model.model_description import DescribedMember, ModelNumber
from nnunet_assets.core.verification.findings import Finding, Verification
from nnunet_assets.core.verification.json_differences import CLOSE, json_differences
from nnunet_assets.errors import NnunetAssetsError, PackageError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.zip_reading import open_package_or_zip
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.data_checks import input_findings
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.since_then import since_then
from nnunet_assets.workflows.verification.summary_walk import Walk, summary_findings

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
    yield from _numbers(package, known)


def _of_member(
    walk: Walk, package: ModelPackage, member: DescribedMember, known: Sequence[KnownResult]
) -> Iterator[Finding]:
    experiment = _experiment_of(member)
    if not experiment.model_folder(walk.roots).is_dir():
        sentence = f"{experiment.title} is not in this project: its weights cannot be compared with those of its folds."
        yield Finding("checkpoints", member.name, "unknown", sentence)
        return
    for fold in member.folds:
        yield _weights(walk, package, member, experiment, fold)
    if digests := package.description.inputs.get(member.name):
        inputs = FoldInputs(training_hash="", **{name: digests.get(name, UNKNOWN) for name in _HASHES})
        yield from input_findings(walk.roots, experiment, inputs)
    summary = next((one for one in known if one.kind == "cv_summary" and one.experiment == experiment), None)
    if summary:
        yield from summary_findings(walk, summary.content, summary.subject)


def _experiment_of(member: DescribedMember) -> Experiment:
    return Experiment(member.dataset, member.configuration, member.trainer, member.plans, member.variant)


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


def _numbers(package: ModelPackage, known: Sequence[KnownResult]) -> Iterator[Finding]:
    """Compares the cross-validation's Dice in model.json with what it is of: a choice, or a summary."""
    number, selection = package.description.numbers.get("dice"), package.description.selection
    if number is None:
        return
    if selection is not None:
        yield _of_choice(number, selection, [one for one in known if _is_choice_of(one, package)], known)
        return
    summary = next((one for one in known if one.kind == "cv_summary" and _is_of(one.experiment, package)), None)
    if summary is None:
        sentence = "There is no summary in this project with which the package's Dice could be compared."
        yield Finding("source", "dice", "unknown", sentence)
        return
    pooled = summary.content["foreground"]["dice"]["pooled"]
    yield _number(number, pooled["mean"], summary.title)


def _is_of(experiment: Experiment | None, package: ModelPackage) -> bool:
    """Says whether a package is of an experiment, or of an ensemble, which its title names."""
    description = package.description
    if experiment is None or (experiment.is_ensemble) != (len(description.members) > 1):
        return False
    if experiment.is_ensemble:
        return description.title.startswith(f"{experiment.title}, ")
    return experiment == _experiment_of(description.members[0])


def _is_choice_of(one: KnownResult, package: ModelPackage) -> bool:
    return one.kind == "best_configuration" and one.of == package.description.members[0].dataset


def _of_choice(
    number: ModelNumber, selection: Mapping[str, Any], choices: Sequence[KnownResult], known: Sequence[KnownResult]
) -> Finding:
    """Compares the Dice of a model that was chosen, which its postprocessing is part of, with the choices."""
    wanted = {"chosen": selection.get("chosen"), "expected": selection.get("expected"), "dice": number.mean}
    for one in choices:
        if json_differences(wanted, _chosen(one), close=CLOSE):
            continue
        if one.is_current:
            sentence = f"Its Dice of {number.mean:.3f}, and what is expected of it, are those of {one.title}."
            return Finding("source", "dice", "holds", sentence)
        return Finding("source", "dice", "changed", since_then(one, known))
    if not choices:
        sentence = "There is no choice in this project with which the package's Dice could be compared."
        return Finding("source", "dice", "unknown", sentence)
    now = _chosen(choices[0])
    sentence = (
        f"Its Dice of {number.mean!r} for {selection.get('chosen')} is that of no choice that is here or was kept; "
        f"{choices[0].title} is {now['chosen']} with {now['dice']!r}."
    )
    return Finding("source", "dice", "changed", sentence)


def _chosen(choice: KnownResult) -> dict[str, Any]:
    content = choice.content
    means = {one["name"]: one["mean"] for one in content["candidates"]}
    return {"chosen": content["chosen"], "expected": content["expected"], "dice": means.get(content["chosen"])}


def _number(number: ModelNumber, expected: float | None, title: str) -> Finding:
    if expected is not None and abs(number.mean - expected) <= 1e-9:
        return Finding("source", "dice", "holds", f"Its Dice of {number.mean:.3f} is that of {title}.")
    sentence = f"Its Dice is {number.mean!r}, and {title} has {expected!r}."
    return Finding("source", "dice", "changed", sentence)
