"""A project whose experiments are finished without a training, new images, and a child that predicts them at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.named_model import NamedModel, model_named
from nnunet_assets.workflows.model.planned_prediction import Asked, PlannedPrediction, plan_prediction
from nnunet_assets.workflows.model.predict import predict_images
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case
from nnunet_assets_tests.prediction_builders import EXPERIMENT, PredictingChild, write_folds
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress

NAME = "/".join(EXPERIMENT.key_prefix)
DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {EXPERIMENT.dataset}, folds: 2}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {EXPERIMENT.dataset}, configuration: 2d}}
"""


@dataclass
class PredictProject:
    """A project with a finished experiment of two folds, and two new images in a folder.

    Attributes:
        settings: Of the project.
        images: `new_1_0000.nii.gz` and `new_2_0000.nii.gz`.
        output: Where masks go; not there yet.
        child: That predicts: of each image itself.
        progress: What was told.
    """

    settings: Settings
    images: Path
    output: Path
    child: PredictingChild
    progress: RecordedProgress = field(default_factory=RecordedProgress)

    @property
    def checkpoints(self) -> list[Path]:
        """Of the experiment's folds."""
        return [
            EXPERIMENT.fold_folder(self.settings.roots, fold) / "checkpoint_final.pth" for fold in ("fold_0", "fold_1")
        ]

    def model(self, name: str = NAME, **options: Any) -> NamedModel:
        return model_named(self.settings, name, **options)

    def plan(self, model: NamedModel | None = None, **changes: Any) -> PlannedPrediction:
        wanted = {"images": [self.images], "output": self.output, "device": "cpu", "previews": False, **changes}
        return plan_prediction(self.settings, model or self.model(), Asked(**wanted), self.progress)

    def predict(self, model: NamedModel | None = None, **changes: Any) -> list[str]:
        """Predicts, and returns the cases that the child predicted for it."""
        before = len(self.child.predicted)
        predict_images(self.plan(model, **changes), self.progress)
        return [case for cases in self.child.predicted[before:] for case in cases]


def write_predict_project(root: Path, *others: Experiment) -> PredictProject:
    """Writes the project; `others` are finished, too."""
    write_project(root, {"defs.yaml": DECLARED})
    settings = Settings.from_environment(root, {})
    for experiment in (EXPERIMENT, *others):
        write_folds(settings.roots, experiment)
    for case, voxels in {"new_1": REFERENCE, "new_2": HIGHER}.items():
        write_case(root / "images" / f"{case}_0000.nii.gz", voxels)
    return PredictProject(settings, root / "images", root / "out", PredictingChild())
