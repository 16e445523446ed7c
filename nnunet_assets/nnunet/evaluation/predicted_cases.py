"""Which predictions belong to which references: of an experiment's finished folds, or of two plain folders."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation import Problem
from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.layout import OWN_FOLDER, Roots, fold_index
from nnunet_assets.core.fold.commit import COMMIT_FILE, MANIFEST_FILE, UNKNOWN, read_committed
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.splits.splits_files import read_patients, readable_splits
from nnunet_assets.core.validation.case_results import CaseResult, read_case_results
from nnunet_assets.errors import EvaluationError, SummaryError, first_offenders
from nnunet_assets.nnunet.folds.validation_files import VALIDATION
from nnunet_assets.nnunet.images.image_reader import reader_of_model
from nnunet_assets.nnunet.results.results_folder import experiment_of, is_foreign

_PREDICT = "Predict it."


@dataclass(frozen=True)
class PredictedCase:
    """A case to evaluate, with both its files, which are there."""

    fold: str | None
    case: str
    reference: Path
    prediction: Path

    @property
    def key(self) -> tuple[str | None, str]:
        """What names it: fold and case."""
        return self.fold, self.case

    @property
    def both(self) -> tuple[Path, Path]:
        """The reference and the prediction."""
        return self.reference, self.prediction


@dataclass
class PredictedCases:
    """What there is to evaluate.

    Attributes:
        subject: What it is, for people.
        description: The dataset.json of the predictions.
        cases: In the order of folds and names.
        n_expected: Cases that there should be.
        folds: The folds whose predictions these are.
        missing_folds: Expected folds that are not finished.
        recorded: What nnU-Net scored when a fold was validated, by fold and case; empty where it is not known.
        problems: What is wrong with files and folds.
        may_be_pooled: Whether all cases may be taken together.
        patients: Patient of each of the cases, as a summary of the folds takes it; None: not known.
        reader: nnU-Net's reader that the plans of the model name; None: its plans are not known.
    """

    subject: str
    description: DatasetDescription
    cases: list[PredictedCase] = field(default_factory=list)
    n_expected: int = 0
    folds: list[str] = field(default_factory=list)
    missing_folds: list[str] = field(default_factory=list)
    recorded: dict[tuple[str | None, str], CaseResult] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    may_be_pooled: bool = True
    patients: Mapping[str, str] | None = None
    reader: str | None = None


def references_folder(roots: Roots, dataset: str) -> Path:
    """Returns the folder of the references that nnU-Net validates a dataset's folds with."""
    return roots.preprocessed / dataset / "gt_segmentations"


def cases_of_folds(
    model_folder: Path,
    references: Path,
    folds: Sequence[str],
    subject: str,
    *,
    other_references: Path | None = None,
    of_plain_nnunet: bool = False,
    trusted: frozenset[str] = frozenset(),
) -> PredictedCases:
    """Returns the validation cases of the finished folds.

    Args:
        model_folder: nnU-Net's folder of the model, which holds `fold_0` ... and dataset.json.
        references: Folder of the label images that nnU-Net validated with, `gt_segmentations` of the preprocessed
            dataset.
        folds: The folds to look at, in the order to show them.
        subject: What the model is called.
        other_references: What to compare with in their place, such as a second reader's; nnU-Net's scores say nothing
            about these.
        of_plain_nnunet: Also take the folds that nnU-Net trained without this package.
        trusted: As for `image_reader.is_reader`.

    Raises:
        DatasetError: The model's dataset.json cannot be used.
        EvaluationError: No fold is finished.
    """
    if not any((model_folder / fold).is_dir() for fold in folds):
        raise _nothing_finished(subject, folds)
    description = parse_dataset_json(model_folder / DATASET_JSON)
    found = PredictedCases(subject, description, reader=reader_of_model(model_folder, trusted))
    provenances: dict[str, FoldProvenance] = {}
    for fold in folds:
        folder = model_folder / fold
        manifest = read_committed(folder)
        if manifest:
            wanted = manifest.details["validation_cases"]
            provenances[fold] = FoldProvenance.of(manifest)
        elif (folder / OWN_FOLDER / COMMIT_FILE).is_file():
            found.problems.append(_changed(fold, folder))
            wanted = _cases_of_manifest(folder)
        elif of_plain_nnunet and is_foreign(folder) and (folder / VALIDATION).is_dir():
            wanted = _cases_of_split(references.parent, fold)
        else:
            found.missing_folds.append(fold)
            continue
        found.folds.append(fold)
        wanted = _predicted_cases(found, fold, folder) if wanted is None else wanted
        _pair(found, fold, folder / VALIDATION, other_references or references, wanted)
        if other_references is None:
            _add_recorded(found, fold, folder, wanted)
    if not found.folds:
        raise _nothing_finished(subject, folds)
    _check_pooling(found, provenances)
    splits_hash = next((provenance.inputs.splits_hash for provenance in provenances.values()), UNKNOWN)
    found.patients = read_patients(references.parent, splits_hash, [files.case for files in found.cases])
    return found


def cases_of_folders(
    predictions: Path, references: Path, dataset_json: Path, trusted: frozenset[str] = frozenset()
) -> PredictedCases:
    """Returns the cases of a folder of predictions and one of references, paired by their file names.

    Raises:
        DatasetError: dataset.json cannot be used.
        EvaluationError: There is no reference.
    """
    # nnUNetv2_predict leaves the plans beside its predictions.
    reader = reader_of_model(predictions, trusted) or reader_of_model(dataset_json.parent, trusted)
    found = PredictedCases(str(predictions), parse_dataset_json(dataset_json), reader=reader)
    ending = found.description.file_ending
    wanted = sorted(_cases_in(references, ending))
    if not wanted:
        raise EvaluationError(
            f"{references} holds no file that ends in {ending}, as {dataset_json} says references do."
        )
    _pair(found, None, predictions, references, wanted)
    return found


def _nothing_finished(subject: str, folds: Sequence[str]) -> EvaluationError:
    return EvaluationError(
        f"No fold of {subject} is finished, so there is no prediction to evaluate. Train at least one of "
        f"{first_offenders(folds)}."
    )


def _changed(fold: str, folder: Path) -> Problem:
    experiment = experiment_of(folder.parent)
    if experiment and experiment.is_ensemble:
        return Problem(
            f"{fold} is not what its members are now: one of them was trained or validated again, or a file in "
            f"{folder} was changed. Its masks are evaluated as they are; make the ensemble again.",
            fold,
        )
    return Problem(
        f"{fold} was changed after it was finished: a file in {folder} is not the one that its COMMIT vouches for. Its "
        "predictions are evaluated as they are; restore the file, or run the validation of this fold again.",
        fold,
    )


def _cases_of_manifest(folder: Path) -> list[str] | None:
    cases = readable_json(folder / OWN_FOLDER / MANIFEST_FILE).get("details", {}).get("validation_cases")
    return cases if isinstance(cases, list) else None


def _cases_of_split(preprocessed: Path, fold: str) -> list[str] | None:
    splits, index = readable_splits(preprocessed) or [], fold_index(fold)
    return splits[index]["val"] if isinstance(index, int) and index < len(splits) else None


def _predicted_cases(found: PredictedCases, fold: str, folder: Path) -> list[str]:
    """Returns the cases that have a prediction, which stand for all where nobody says which there should be."""
    wanted = sorted(_cases_in(folder / VALIDATION, found.description.file_ending))
    found.problems.append(
        Problem(
            f"Which cases {fold} is validated on is not known: neither its manifest nor a splits_final.json says "
            f"so. The {len(wanted)} predictions in {folder / VALIDATION} are taken for all.",
            fold,
        )
    )
    return wanted


def _add_recorded(found: PredictedCases, fold: str, folder: Path, wanted: Sequence[str]) -> None:
    description = found.description
    try:
        results = read_case_results(folder, description.raw["labels"], wanted, file_ending=description.file_ending)
        found.recorded.update({(fold, result.case_id): result for result in results})
    except SummaryError as error:
        found.problems.append(Problem(str(error), fold))


def _pair(found: PredictedCases, fold: str | None, predictions: Path, references: Path, wanted: Sequence[str]) -> None:
    ending = found.description.file_ending
    there = _cases_in(predictions, ending)
    found.n_expected += len(wanted)
    for case in sorted(wanted):
        files = PredictedCase(fold, case, references / f"{case}{ending}", predictions / f"{case}{ending}")
        if case not in there:
            message = (
                f"Case {case!r} has no prediction {files.prediction}. {_way_back(predictions) if fold else _PREDICT}"
            )
            found.problems.append(Problem(message, fold, case))
        elif not files.reference.is_file():
            message = f"Case {case!r} has no reference {files.reference} to be compared with. Restore it."
            found.problems.append(Problem(message, fold, case))
        else:
            found.cases.append(files)
    if strays := sorted(there - set(wanted)):
        message = (
            f"{predictions} holds predictions of cases that are not to be evaluated: {first_offenders(strays)}. They "
            f"are left out. Remove them, or {'restore the split' if fold else 'give them references'}."
        )
        found.problems.append(Problem(message, fold))


def _way_back(predictions: Path) -> str:
    """Returns how the predictions of a fold come back; the fold stays what it is."""
    again = "run the validation of this fold again"
    experiment = experiment_of(predictions.parent.parent)
    if experiment is None:
        return f"To have it predicted, {again}."
    if experiment.is_ensemble:
        return f"`nnunet-assets ensemble` with the same members and `--name {experiment.configuration}` makes it again."
    fold = predictions.parent.name.removeprefix("fold_")
    flags = f"-tr {experiment.trainer} -p {experiment.plans} --val"
    variant = f" --variant {experiment.variant}" if experiment.variant else ""
    return (
        f"To have it predicted, {again}: `nnunet-assets train {experiment.dataset} {experiment.configuration} {fold} "
        f"{flags}{variant}`, or `nnUNetv2_train` with the same where the fold was adopted."
    )


def _cases_in(folder: Path, ending: str) -> set[str]:
    try:
        # No folder, and no pipe, which would be waited for.
        names = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be listed: {error.strerror}.") from None
    return {name.removesuffix(ending) for name in names if name.endswith(ending) and not is_dropping(name)}


def _check_pooling(found: PredictedCases, provenances: Mapping[str, FoldProvenance]) -> None:
    """Marks cases that must not be taken together, since no one cross-validation has them all, and says why."""
    for sentence in (*_different_provenances(provenances), *_cases_in_two_folds(found)):
        found.may_be_pooled = False
        found.problems.append(Problem(f"{sentence} Each case is reported, but no mean is taken over the folds."))


def _different_provenances(provenances: Mapping[str, FoldProvenance]) -> Iterator[str]:
    first = next(iter(provenances), None)
    for fold, provenance in provenances.items():
        if first is not None and (differences := provenance.differences(provenances[first])):
            yield f"{fold} and {first} differ in {', '.join(differences)}."


def _cases_in_two_folds(found: PredictedCases) -> Iterator[str]:
    counts = Counter(files.case for files in found.cases)
    if repeated := sorted(case for case, count in counts.items() if count > 1):
        yield f"Cases are validated in more than one fold: {first_offenders(repeated)}."
