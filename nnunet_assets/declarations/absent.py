"""What valid declarations name and is not there: a dataset, a trainer, plans, weights.

No errors of the declarations: what is declared today may be there tomorrow, and the graph loads without it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from nnunet_assets.core.dataset.configurations import PLANNERS
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.yaml_files.documents import FileProblem
from nnunet_assets.errors import did_you_mean, first_offenders


def absent_data(project: Project, roots: Roots) -> Iterator[FileProblem]:
    """Yields the declared datasets of the user's own that lie neither in nnUNet_raw nor, prepared, in its neighbour."""
    there = _datasets(roots.raw)
    for dataset in project.datasets:
        name = dataset.dataset
        if dataset.phantom or name in there or name in _datasets(roots.preprocessed):
            continue
        same_number = [other for other in there if other.startswith(name[: len("Dataset000_")])]
        near = f" Did you mean {same_number[0]}?" if same_number else did_you_mean(name, there)
        seen = f"There are: {first_offenders(there)}." if there else "No dataset is there."
        sentence = (
            f"{name} is not in {roots.raw}.{near} {seen} Correct the name, or bring the data there: nnunet-assets "
            "import-dataset."
        )
        yield project.problem(name, ("attributes", "dataset"), sentence)


def absent_choices(project: Project, roots: Roots, trainers: Collection[str] | None) -> Iterator[FileProblem]:
    """Yields the trainers, plans and weights that experiments name, and the labels of datasets, that are not there.

    Args:
        project: What is declared.
        roots: nnU-Net's folders.
        trainers: The names that nnU-Net finds; None: they are not known.
    """
    trained: list[tuple[ExperimentConfig, Experiment | str, tuple[str, ...]]] = [
        *((one, one.identity, ("attributes",)) for one in project.experiments),
        *((one.trial(0, {}), one.title, ("attributes", "of")) for one in project.searches),
    ]
    for experiment, declared, place in trained:
        if trainers is not None and experiment.trainer not in trainers:
            own = [name for name in trainers if name.startswith("nnUNetTrainer")]
            sentence = (
                f"nnU-Net has no trainer {experiment.trainer}.{did_you_mean(experiment.trainer, own)} Its trainers are "
                "the classes below nnunetv2.training.nnUNetTrainer, and in the folders that nnUNet_extTrainer names."
            )
            yield project.problem(declared, (*place, "trainer"), sentence)
        file = roots.preprocessed / experiment.dataset / f"{experiment.plans}.json"
        if experiment.plans not in PLANNERS and not file.is_file():
            sentence = (
                f"{experiment.plans} are no plans that nnU-Net makes, and {file} is not there."
                f"{did_you_mean(experiment.plans, PLANNERS)} It makes {', '.join(PLANNERS)}."
            )
            yield project.problem(declared, (*place, "plans"), sentence)
        weights = experiment.options(project.root).pretrained_weights
        if weights and not Path(weights).is_file():
            location = ("attributes", "variant" if declared == experiment.identity else "space", "pretrained_weights")
            yield project.problem(declared, location, f"{weights} is not there. Correct the path.")


def _datasets(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.startswith("Dataset") and path.is_dir())
    except OSError:  # whoever reads it says so
        return []
