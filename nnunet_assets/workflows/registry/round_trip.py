"""Whether a version that was just made predicts what the folds themselves do: voxel by voxel, on a few stored cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.files.partial_folder import scratch_folder
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.registry.gate import Verdict, judge_round_trip
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import DatasetError, NnunetAssetsError
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionFlags, PredictionRequest
from nnunet_assets.processes.child import ChildResult, run_child
from nnunet_assets.processes.machine.device_lease import device_lease
from nnunet_assets.processes.workers import worker_variables
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.round_trip import CaseOfRoundTrip, predict_bare
from nnunet_assets.workflows.registry.version_scores import MODELS_FOLDER

N_CASES = 2
"""How many cases are predicted twice: one would do for the code, two for the state between cases."""


@dataclass(frozen=True)
class StoredCase:
    """Images of a case that lie in nnUNet_raw."""

    name: str
    images: tuple[Path, ...]


def stored_cases(settings: Settings, dataset: str, wanted: Sequence[str]) -> list[StoredCase]:
    """Returns the first of the wanted cases whose images are there, at most two."""
    from nnunet_assets.nnunet.raw.case_files import find_cases

    folder = settings.roots.raw / dataset
    try:
        found, _ = find_cases(folder, parse_dataset_json(folder / DATASET_JSON), settings.child_environment())
    except (OSError, DatasetError):
        return []
    images = {files.case: tuple(files.images) for files in found}
    there = (name for name in wanted if name in images and all(file.is_file() for file in images[name]))
    return [StoredCase(name, images[name]) for name, _ in zip(there, range(N_CASES), strict=False)]


def cases_by_turns(settings: Settings, summary: ScoredSummary) -> tuple[StoredCase, ...]:
    """Returns cases for a round trip: the first of each fold, then the second, as far as their images are there."""
    by_turns = zip(*(fold.cases for fold in summary.folds), strict=False)
    names = [case.case_id for some in by_turns for case in some]
    return tuple(stored_cases(settings, summary.experiment.dataset, names))


def try_round_trip(
    settings: Settings,
    model: UsableModel,
    address: str,
    tracking_uri: str,
    cases: Sequence[StoredCase],
    *,
    device: str,
    progress: Progress,
) -> Verdict:
    """Returns the verdict on a version; whatever goes wrong is a verdict, too.

    Args:
        settings: Of the project.
        model: What the version was made of, where it lies in the project.
        address: Of the version.
        tracking_uri: Where it is registered.
        cases: To be predicted.
        device: `auto`, `cuda`, `cpu` or `mps`.
        progress: Told what happens, and of a wait for a device.
    """
    if not cases:
        return judge_round_trip(0, {}, "No validation case has its images in nnUNet_raw any more: nothing was tried.")
    with scratch_folder(settings.data / MODELS_FOLDER / "round_trip") as folder:
        try:
            progress.say(f"Predicting {len(cases)} cases with the folds, and with {address} in a bare process.")
            ending = parse_dataset_json(model.first.folder / DATASET_JSON).file_ending
            environment = settings.child_environment()
            with device_lease(device, environment, progress=progress, what="The round trip") as lease:
                variables = {**worker_variables(environment, n_sharing=lease.n_sharing), **lease.variables}
                trial = _Trial(settings, model, cases, ending, device, folder, {**environment, **variables})
                own, other = trial.by_folds(), trial.bare(address, tracking_uri)
            return judge_round_trip(len(cases), _unequal(own, other, model, settings.trusted_code))
        except NnunetAssetsError as error:
            return judge_round_trip(len(cases), {}, f"It could not be tried: {error}")


@dataclass(frozen=True)
class _Trial:
    """What both predict, and where.

    Attributes:
        settings: Of the project.
        model: The folds.
        cases: To be predicted.
        ending: Of their files.
        device: As asked for.
        folder: Takes everything.
        environment: Of the children.
    """

    settings: Settings
    model: UsableModel
    cases: Sequence[StoredCase]
    ending: str
    device: str
    folder: Path
    environment: Mapping[str, str]

    def by_folds(self) -> list[Path]:
        """Returns the masks by nnU-Net's own predictor on the folders of the folds; stages of cascades come before."""
        stages: dict[Member, list[Path]] = {}
        line = [member for member in self.model.members if member.previous is not None]
        for member in line:
            line += [member.previous] if member.previous and member.previous.previous else []
        for member in reversed(line):
            if member.previous is not None and member.previous not in stages:
                stages[member.previous] = self._predict([member.previous], (), stages)
        return self._predict(self.model.members, self.model.postprocessing, stages)

    def _predict(
        self, members: Sequence[Member], steps: tuple[Step, ...], stages: Mapping[Member, list[Path]]
    ) -> list[Path]:
        place = Path(mkdtemp(prefix="folds-", dir=self.folder))
        made = [place / f"case_{k}{self.ending}" for k in range(len(self.cases))]
        request = PredictionRequest(
            members=tuple(members),
            postprocessing=steps,
            flags=PredictionFlags(),
            device=self.device,
            work_folder=place,
            cases=tuple(
                CaseToPredict(
                    name=f"case_{k}",
                    images=case.images,
                    previous=tuple(stages[one.previous][k] if one.previous else None for one in members),
                    part=place / f".part_{k}",
                    file=made[k],
                )
                for k, case in enumerate(self.cases)
            ),
            is_repeatable=True,
        )
        module = "nnunet_assets.nnunet.predictions.prediction_process"
        environment = {**self.environment, **self.settings.roots.environment()}
        _refuse_failure(run_child(module, request, folder=place, environment=environment), "The folds themselves")
        return made

    def bare(self, address: str, tracking_uri: str) -> list[Path]:
        """Returns the masks by the version, as anybody would load it."""
        place = Path(mkdtemp(prefix="version-", dir=self.folder))
        made = [place / f"case_{k}{self.ending}" for k in range(len(self.cases))]
        asked = [CaseOfRoundTrip(case.images, file) for case, file in zip(self.cases, made, strict=True)]
        of_mlflow = {name: value for name, value in self.settings.variables.items() if name.startswith("MLFLOW_")}
        result = predict_bare(
            tracking_uri, address, self.device, asked, folder=place, environment={**self.environment, **of_mlflow}
        )
        _refuse_failure(result, "The version, loaded by a bare process,")
        return made


def _refuse_failure(result: ChildResult, who: str) -> None:
    if result.problem is not None:
        raise NnunetAssetsError(f"{who} predicted nothing. {result.problem}")


def _unequal(own: Sequence[Path], other: Sequence[Path], model: UsableModel, trusted: frozenset[str]) -> dict[str, int]:
    # numpy, which whoever loads the definitions has no use for.
    from nnunet_assets.nnunet.images.image_reader import reader_of_model
    from nnunet_assets.nnunet.images.label_image import label_reader

    folder = model.first.folder
    read = label_reader(str(reader_of_model(folder, trusted)), parse_dataset_json(folder / DATASET_JSON).file_ending)
    unequal = {}
    for number, (left, right) in enumerate(zip(own, other, strict=True)):
        one, another = read(left).voxels, read(right).voxels
        n = one.size if one.shape != another.shape else int((one != another).sum())
        if n:
            unequal[f"case {number + 1}"] = n
    return unequal
