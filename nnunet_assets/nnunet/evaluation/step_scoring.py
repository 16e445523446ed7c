"""What the validation masks of a model score after postprocessing steps, each mask read once.

On disk, in `nnunet_assets/postprocessing/` of the model's folder: `kept_cases.jsonl` (see `evaluation_cache`), by the
digests of mask, reference and steps. No mask is written.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nnunet_assets.core.evaluation.label_totals import Metrics
from nnunet_assets.core.evaluation.metric_policy import MetricPolicy, metric_policy
from nnunet_assets.core.evaluation.step_scores import VERSION, StepDice, StepPlan, case_step_scores, plain_scores
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.statistics.estimate import SAME_SCORE
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.evaluation.case_pairs import compute_unknown, named, reader_of_cases
from nnunet_assets.nnunet.evaluation.evaluation_cache import KeptCases
from nnunet_assets.nnunet.evaluation.predicted_cases import PredictedCases
from nnunet_assets.nnunet.images.label_image import LabelImage

WHAT = "masks postprocessed and scored"


@dataclass(frozen=True)
class ScoredSteps:
    """What a model's cases score after steps.

    Attributes:
        cases: By case; those with a problem are not in it.
        problems: In full sentences.
    """

    cases: Mapping[str, StepDice]
    problems: tuple[str, ...]


def score_steps(
    found: PredictedCases,
    plan: StepPlan,
    folder: Path,
    progress: Progress,
    trusted: frozenset[str] = frozenset(),
) -> ScoredSteps:
    """Returns what the cases score; who asks at the same time for the same folder waits.

    Args:
        found: Masks and references.
        plan: The steps.
        folder: Where what is computed is kept.
        progress: Told about each case that was not known yet.
        trusted: As for `image_reader.is_reader`.

    Raises:
        EvaluationError: nnU-Net has no reader for the references, or the disk does not take what is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    policy = metric_policy(found.description)
    reader = reader_of_cases(found, trusted)
    with kernel_lock(folder / ".lock"):
        kept = KeptCases(folder, _digest(plan, policy), reader)

        def measure(reference: LabelImage, prediction: LabelImage) -> Mapping[str, Metrics]:
            return case_step_scores(reference.voxels, prediction.voxels, plan)

        failures, _ = compute_unknown(found, reader, policy, kept, measure, what=WHAT, progress=progress)
        problems = [problem.message for problem in (*found.problems, *failures.values())]
        cases: dict[str, StepDice] = {}
        for files in found.cases:
            if files.key in failures:
                continue
            scores = kept.metrics(files.key)
            recorded = found.recorded.get(files.key)
            if recorded and (odd := _differing(scores, recorded.scores)):
                problems.append(
                    f"{named(files)} is left out: {files.prediction} or {files.reference} was changed after nnU-Net "
                    f"scored them, since {first_offenders(odd)} is not what summary.json says. Restore it, or run the "
                    "validation of this fold again."
                )
                continue
            cases[files.case] = scores
        kept.forget_others({files.key for files in found.cases})
    return ScoredSteps(cases, tuple(problems))


def _digest(plan: StepPlan, policy: MetricPolicy) -> str:
    return json_sha256([VERSION, asdict(plan), policy.to_json()])


def _differing(found: StepDice, recorded: Mapping[str, LabelScore]) -> list[str]:
    """Returns the labels whose Dice without any step is not the recorded one."""
    plain = plain_scores(found)
    return [name for name, score in recorded.items() if not _is_same(plain[name], score.dice)]


def _is_same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) <= SAME_SCORE
