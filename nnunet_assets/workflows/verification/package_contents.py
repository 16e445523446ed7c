"""What a package says beside its weights, made again from the project: plans, labels, images, numbers, its choice.

Not compared: for what it is meant, its licence, its notes, and the versions of the packages that wrote it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.json_file import OTHER_FORM, load_json
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.model.model_description import DescribedMember, ModelNumber
from nnunet_assets.core.model.package_layout import PLANS_FILE, within
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.core.verification.json_differences import CLOSE, json_differences
from nnunet_assets.core.verification.table_differences import CellDifference
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.packages.expected_images import expected_images
from nnunet_assets.nnunet.packages.package_reading import ModelPackage
from nnunet_assets.nnunet.packages.packed_files import packed_dataset_json, packed_plans
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import known_orientations
from nnunet_assets.workflows.model.about import numbers_of
from nnunet_assets.workflows.model.usable import model_title
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.since_then import since_then
from nnunet_assets.workflows.verification.summary_walk import difference_findings
from nnunet_assets.workflows.verification.walk import Walk

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration

Known = Sequence[KnownResult]


def experiment_of(member: DescribedMember) -> Experiment:
    """Returns what a member was trained as."""
    return Experiment(member.dataset, member.configuration, member.trainer, member.plans, member.variant)


def member_findings(walk: Walk, package: ModelPackage, member: DescribedMember) -> Iterator[Finding]:
    """Yields whether plans and dataset.json of a member are those of its folder in the project."""
    folder = experiment_of(member).model_folder(walk.roots)
    packed: Mapping[str, Callable[[], dict[str, Any]]] = {
        PLANS_FILE: lambda: packed_plans(folder / PLANS_FILE, member.configuration),
        DATASET_JSON: lambda: packed_dataset_json(folder / DATASET_JSON),
    }
    for name, pack in packed.items():
        what = f"{name} of {member.name}"
        try:
            expected = pack()
        except (NnunetAssetsError, OSError) as error:
            sentence = f"Its {what} cannot be compared with that of the project: {error}"
            yield Finding("inputs", what, "unknown", sentence)
            continue
        differences = json_differences(load_json(package.folder / within(member, name)), expected)
        yield from difference_findings("inputs", f"its {what}", differences)
        if not differences:
            yield Finding("inputs", what, "holds", f"Its {what} says what {folder / name} says.")


def commit_findings(package: ModelPackage, member: DescribedMember, found: Sequence[FinishedFold]) -> Iterator[Finding]:
    """Yields whether the checkpoints that a package says it was made of are those of the folds.

    Args:
        package: See above.
        member: Of it.
        found: Its folds in the project, of those that are finished.
    """
    said = package.description.inputs.get(member.name, {})
    for fold in found:
        name = fold.folder.name
        now = {f"{name}/commit": fold.sha256}
        if checkpoint := fold.manifest.files.get(member.checkpoint):
            now[f"{name}/{member.checkpoint}"] = checkpoint
        for key, digest in now.items():
            if key in said and said[key] != digest:
                sentence = f"It was made of {key} {said[key][:12]} of {member.name}, and there is {digest[:12]} now."
                yield Finding("scores", f"{member.name}, {key}", "changed", sentence)


def description_findings(walk: Walk, package: ModelPackage, known: Known) -> Iterator[Finding]:
    """Yields whether title, images, numbers and choice in model.json are what the project's results give."""
    description = package.description
    summary = next((one for one in known if one.kind == "cv_summary" and _is_of(one.experiment, package)), None)
    scored = _summary(summary)
    n_cases = description.images.n_cases
    if description.selection is None:
        yield from _of_summary(package, scored, summary)
        if scored and not _is_full(package):
            n_cases = scored.n_cases + len(scored.training_only or ())
    else:
        yield from _of_choice(package, [one for one in known if _is_choice_of(one, package)], known)
    yield from _images(walk, package, n_cases)


def _images(walk: Walk, package: ModelPackage, n_cases: int | None) -> Iterator[Finding]:
    first = package.description.first
    folder = experiment_of(first).model_folder(walk.roots)
    try:
        # Packages of older versions do not say how the images lie.
        is_said = bool(package.description.images.orientations)
        orientations = known_orientations(PreparedFolder(walk.roots, first.dataset)) if is_said else ()
        expected = expected_images(folder, first.configuration, n_cases, orientations)
    except (NnunetAssetsError, OSError) as error:
        sentence = f"On which images it was trained cannot be compared: {error}"
        yield Finding("source", "images", "unknown", sentence)
        return
    differences = json_differences(*map(dataclass_to_json, (package.description.images, expected)), where="images")
    yield from difference_findings("source", "its model.json", differences)
    if not differences:
        yield Finding("source", "images", "holds", f"What it says of its training images follows from {folder}.")


def _of_summary(package: ModelPackage, scored: ScoredSummary | None, summary: KnownResult | None) -> Iterator[Finding]:
    """Yields whether the numbers are those of a summary, and nothing was cleaned up that it does not say."""
    description = package.description
    if package.usable.postprocessing:
        steps = [list(step) for step in package.usable.postprocessing]
        sentence = f"It has the postprocessing {steps}, and was not chosen: nobody in this project gave it that."
        yield Finding("source", "postprocessing", "changed", sentence)
    if summary and summary.experiment:
        n = sum(member.weight > 0 for member in description.members)
        title = model_title(summary.experiment, description.first.folds, n)
        yield from difference_findings(
            "source", "its model.json", json_differences(description.title, title, where="title")
        )
    if not description.numbers:
        return
    if scored is None or summary is None:
        sentence = "There is no summary in this project with which the package's Dice could be compared."
        yield Finding("source", "dice", "unknown", sentence)
        return
    expected = numbers_of(scored, "")
    differences = _of_numbers(description.numbers, expected)
    yield from difference_findings("source", "its model.json", differences)
    if not differences:
        mean, n_others = description.numbers["dice"].mean, len(description.numbers) - 1
        sentence = f"Its Dice of {mean:.3f} and {n_others} other numbers are those of {summary.title}."
        yield Finding("source", "dice", "holds", sentence)


def _of_numbers(said: Mapping[str, ModelNumber], expected: Mapping[str, ModelNumber]) -> list[CellDifference]:
    """Returns where numbers are others; how they are described may be in the words of another version."""
    mine = {name: dataclass_to_json(replace(number, estimand="")) for name, number in said.items()}
    theirs = {name: dataclass_to_json(replace(number, estimand="")) for name, number in expected.items()}
    return json_differences(mine, theirs, where="numbers", close=CLOSE)


def _of_choice(package: ModelPackage, choices: Known, known: Known) -> Iterator[Finding]:
    """Yields whether numbers, steps and reasons of a model that was chosen are those of a choice, now or before."""
    found = {one.digest: _as_chosen(package, one) for one in choices}
    compared = [(one, differences) for one in choices if (differences := found[one.digest]) is not None]
    if not compared:
        sentence = "There is no choice in this project with which the package's Dice could be compared."
        yield Finding("source", "dice", "unknown", sentence)
        return
    one, differences = min(compared, key=lambda each: len(each[1]))
    yield from difference_findings("source", "its model.json", differences)
    if differences:
        return
    if not one.is_current:
        yield Finding("source", "dice", "changed", since_then(one, known))
        return
    chosen = (package.description.selection or {}).get("chosen")
    sentence = f"Its numbers, postprocessing and choice, {chosen}, are those of {one.title}."
    yield Finding("source", "dice", "holds", sentence)


def _as_chosen(package: ModelPackage, choice: KnownResult) -> list[CellDifference] | None:
    """Returns where a package is not the one that was chosen; None: the choice cannot be read."""
    from nnunet_assets.core.selection.best_configuration_files import best_configuration_of
    from nnunet_assets.workflows.model.selected import about_choice, chosen_title

    try:
        best: BestConfiguration = best_configuration_of(choice.content)
    except OTHER_FORM:
        return None
    description = package.description
    about = about_choice(best, description.first.folds)
    selection = json_differences(description.selection, about.selection, where="selection", close=CLOSE)
    steps = [[list(step) for step in taken] for taken in (package.usable.postprocessing, best.chosen_candidate.steps)]
    return [
        *json_differences(description.title, chosen_title(best), where="title"),
        *_of_numbers(description.numbers, about.numbers),
        *selection,
        *json_differences(*steps, where="postprocessing"),
    ]


def _summary(known: KnownResult | None) -> ScoredSummary | None:
    try:
        return ScoredSummary.from_json(known.content) if known else None
    except NnunetAssetsError:
        return None


def _is_of(experiment: Experiment | None, package: ModelPackage) -> bool:
    """Says whether a package is of an experiment, or of an ensemble, which its title names."""
    description = package.description
    if experiment is None or experiment.is_ensemble != (description.kind == "ensemble"):
        return False
    if experiment.is_ensemble:
        return description.title.startswith(f"{experiment.title}, ")
    return experiment == experiment_of(description.first)


def _is_choice_of(one: KnownResult, package: ModelPackage) -> bool:
    return one.kind == "best_configuration" and one.of == package.description.first.dataset


def _is_full(package: ModelPackage) -> bool:
    return FULL_FOLD in package.description.first.folds
