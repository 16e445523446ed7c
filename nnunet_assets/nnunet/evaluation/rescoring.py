"""The validation cases of a fold scored again, from the predicted masks and the references, and nothing kept of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.nnunet.folds.validation_files import VALIDATION
from nnunet_assets.nnunet.images.image_reader import dataset_reader, reader_of_model
from nnunet_assets.nnunet.images.label_image import geometry_difference, label_reader, with_known_spacing


@dataclass(frozen=True)
class RescoredCase:
    """A case that was scored again.

    Attributes:
        case: Its id.
        scores: By label name; None: it cannot be scored any more.
        problem: Why not, a full sentence; empty: it was.
    """

    case: str
    scores: Mapping[str, LabelScore] | None
    problem: str = ""


def rescored_cases(
    fold_folder: Path, references: Path, cases: Sequence[str], trusted: frozenset[str] = frozenset()
) -> Iterator[RescoredCase]:
    """Yields the cases, in their order, each as it is scored.

    Args:
        fold_folder: nnU-Net's `fold_k`, in the folder of its model.
        references: The label images that nnU-Net validated with.
        cases: Case ids.
        trusted: As for `image_reader.is_reader`.

    Raises:
        DatasetError: The model's dataset.json cannot be used.
        EvaluationError: nnU-Net has no reader of the files.
    """
    from nnunet_assets.core.evaluation.overlap import overlap_scores

    model = fold_folder.parent
    description = parse_dataset_json(model / DATASET_JSON)
    policy, ending = metric_policy(description), description.file_ending
    example = next((file for case in cases if (file := references / f"{case}{ending}").is_file()), None)
    reader = reader_of_model(model, trusted) or dataset_reader(description.raw, example, trusted)
    if reader is None:
        raise EvaluationError(f"nnU-Net has no reader for files that end in {ending}.")
    read = label_reader(reader, ending)
    for case in cases:
        files = references / f"{case}{ending}", fold_folder / VALIDATION / f"{case}{ending}"
        if gone := [file for file in files if not file.is_file()]:
            yield RescoredCase(case, None, f"{gone[0]} is not there any more.")
            continue
        try:
            reference, prediction = with_known_spacing(*map(read, files))
            problem = geometry_difference(prediction, reference)
        except (DatasetError, EvaluationError) as error:
            yield RescoredCase(case, None, str(error))
            continue
        except OSError as error:
            yield RescoredCase(case, None, f"{error.filename or files[1]} cannot be read: {error.strerror}.")
            continue
        if problem:
            yield RescoredCase(case, None, f"{files[1]} has {problem}.")
        else:
            yield RescoredCase(case, overlap_scores(reference.voxels, prediction.voxels, policy))
