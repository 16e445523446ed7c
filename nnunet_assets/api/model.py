"""Models: chosen, averaged, packed, and predicting."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nnunet_assets.api.given import settings_of
from nnunet_assets.api.training_words import Device
from nnunet_assets.core.progress import LOGGED, Progress

if TYPE_CHECKING:
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.workflows.model.ensemble import MadeEnsemble
    from nnunet_assets.workflows.model.package import PackagedModel
    from nnunet_assets.workflows.model.predict import PredictedImages


def best(
    dataset: str,
    *,
    postprocessing: bool = True,
    max_members: int | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "BestConfiguration":
    """Chooses among the declared experiments of a dataset, as `nnunet-assets best` does.

    Files of the choice are not written.

    Args:
        dataset: Whose experiments.
        postprocessing: Read the validation masks, to choose postprocessing steps too.
        max_members: Make the ensembles of up to so many experiments first, which predicts their validation cases; 1:
            none but those that are declared; None: as the dataset declares, else 2.
        project: Where they are declared.
        progress: Told which summaries are made first, and how many masks are read.

    Raises:
        ConfigError: The dataset is not declared, or has too many ensembles.
        PredictionError: Memory or disk do not suffice for the ensembles.
        SummaryError: No experiment has a complete summary, or no two of several may be compared.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.model.best import find_best_configuration
    from nnunet_assets.workflows.model.found_ensembles import make_found_ensembles

    settings = settings_of(project)
    declared = read_project(settings.project)
    found = make_found_ensembles(settings, declared, dataset, progress, max_members=max_members, makes_summaries=True)
    return find_best_configuration(
        settings,
        declared,
        dataset,
        progress,
        makes_summaries=True,
        with_postprocessing=postprocessing,
        max_members=max_members,
        found=found,
    )


def ensemble(
    dataset: str,
    members: Sequence[str] = (),
    *,
    name: str | None = None,
    device: str | None = None,
    keep_probabilities: bool | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "MadeEnsemble":
    """Averages the probabilities of experiments and scores the masks, as `nnunet-assets ensemble` does.

    Args:
        dataset: Whose experiments.
        members: Two declared experiments or more, each in as many of its words as tell it from the others; none: the
            declared ensemble of that name.
        name: What it is called; None: by its members.
        device: Where the members predict: `auto`, `cuda`, `cpu` or `mps`; None: as declared, else `auto`.
        keep_probabilities: Whether those of the members stay on the disk; None: as declared, else they are removed.
        project: Where the experiments are declared.
        progress: Told of what is predicted and made.

    Raises:
        ConfigError: A member is not declared, or there is no such ensemble.
        FoldError: A fold of a member is not finished, or members differ in data, splits, cases or labels.
        PredictionError: Memory or disk do not suffice.
    """
    from nnunet_assets.workflows.model.ensemble import make_named_ensemble

    settings = settings_of(project)
    return make_named_ensemble(
        settings, dataset, members, name, progress, device=device, keeps_probabilities=keep_probabilities
    )


def package(
    experiment: str,
    output: Path | str,
    *,
    full_model: bool = False,
    licence: str | None = None,
    intended_use: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "PackagedModel":
    """Writes the finished folds of a declared experiment as a package, as `nnunet-assets package` does.

    Args:
        experiment: As for `summarize`; or a declared ensemble, `DATASET/ensembles/NAME`.
        output: Folder of the package, or a file that ends in `.zip`; must not be there yet.
        full_model: Take the model of every case in place of the folds.
        licence: Of the weights; None: as declared.
        intended_use: What the model may be used for, in words; None: as declared.
        project: Where the experiment is declared.
        progress: Told how large it will be and how far it is.

    Raises:
        NnunetAssetsError: A fold is not finished, the disk has no room, or there is something of that name.
    """
    from nnunet_assets.workflows.model.package import package_named

    return package_named(
        settings_of(project),
        experiment,
        Path(output),
        full_model=full_model,
        licence=licence,
        intended_use=intended_use,
        progress=progress,
    )


def predict(
    model: str | Path,
    images: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    folds: Sequence[int | Literal["all"]] = (),
    checkpoint: str | None = None,
    step_size: float = 0.5,
    mirroring: bool = True,
    save_probabilities: bool = False,
    postprocessing: bool = True,
    pattern: str | None = None,
    channels: Sequence[str] = (),
    overwrite: bool = False,
    previews: bool = True,
    device: Device | None = None,
    n_gpus: int | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "PredictedImages":
    """Predicts new images, as `nnunet-assets predict` does; what is finished is not predicted again.

    Args:
        model: An experiment (`DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset), an ensemble
            (`DATASET/ensembles/NAME`), a package (a folder or a zip), or a registered version
            (`models:/NAME@champion`).
        images: A folder, or files.
        output: Folder for the masks and what lies beside them.
        folds: Of an experiment; empty: every declared fold. `all`: its model of every case.
        checkpoint: File name in each fold; None: the one by which the folds were validated.
        step_size: By which share of a patch the window moves, in (0, 1].
        mirroring: Whether the mean over mirrored images is taken.
        save_probabilities: Whether `CASE.npz` and `CASE.pkl` are kept beside the masks.
        postprocessing: Whether the model's own is applied.
        pattern: How the images below the folder are named, such as `{case}/{channel}.nii.gz`; None: as nnU-Net does.
        channels: What `{channel}` stands for, in the model's order.
        overwrite: Predict the cases anew, whatever lies in their place.
        previews: Whether a picture of each case is drawn.
        device: None: every GPU that is free, else the CPU.
        n_gpus: On how many GPUs at once; None: on all that there are.
        project: Where the experiment is declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: There is no such model, the images are not those that it reads, or they could not be
            predicted.
    """
    from nnunet_assets.workflows.model.named_model import model_named
    from nnunet_assets.workflows.model.planned_prediction import Asked, plan_prediction
    from nnunet_assets.workflows.model.predict import predict_images

    settings = settings_of(project)
    asked = Asked(
        images=[Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images],
        output=Path(output),
        pattern=pattern,
        channels=channels,
        step_size=step_size,
        mirroring=mirroring,
        save_probabilities=save_probabilities,
        postprocessing=postprocessing,
        overwrite=overwrite,
        previews=previews,
        device=device or "auto",
        n_gpus=n_gpus,
    )
    named = model_named(
        settings, str(model), folds=[str(fold) for fold in folds], checkpoint=checkpoint, progress=progress
    )
    return predict_images(plan_prediction(settings, named, asked, progress), progress)
