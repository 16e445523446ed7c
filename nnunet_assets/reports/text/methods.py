"""The methods paragraph of a paper, with the settings that the folds were really trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnunet_assets.core.fold.commit import UNKNOWN, Manifest
from nnunet_assets.core.fold.members import members_of
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import first_offenders


def methods_paragraph(
    summary: ScoredSummary, manifests: Mapping[str, Manifest], parameters: Mapping[str, Mapping[str, Any]]
) -> str:
    """Returns a few sentences of plain text; what no record says is left out, what differs between folds is named.

    Args:
        summary: The cross-validation.
        manifests: By finished fold.
        parameters: By finished fold, what its journal's `start` record holds; a fold without is empty.
    """
    known = [found for found in parameters.values() if found]
    if summary.experiment.is_ensemble:
        return " ".join([_data(summary), _members(manifests), _evaluation(summary)])
    sentences = [_data(summary), _training(summary, manifests, known), _optimization(known), _evaluation(summary)]
    return " ".join(sentence for sentence in sentences if sentence)


def _data(summary: ScoredSummary) -> str:
    experiment = summary.experiment
    with_what = (
        f"an ensemble of nnU-Net models ({experiment.configuration})"
        if experiment.is_ensemble
        else f"the configuration {experiment.configuration} of nnU-Net (trainer {experiment.trainer}, plans "
        f"{experiment.plans})"
    )
    return (
        f"{experiment.dataset} ({summary.n_cases} validation cases, {len(summary.labels)} labels) was segmented with "
        f"{with_what} {_design(summary)}"
        + ("." if summary.is_complete else f", of which {len(summary.completed_folds)} are finished.")
    )


def _design(summary: ScoredSummary) -> str:
    alone = summary.training_only or ()
    if summary.is_hold_out:
        return "with one fixed split into training and validation cases, a hold-out" + (
            f" with {len(alone)} training cases" if alone else ""
        )
    text = f"in a cross-validation of {len(summary.expected_folds)} folds"
    return text + (f" with {len(alone)} further cases in training alone" if alone else "")


def _members(manifests: Mapping[str, Manifest]) -> str:
    names = dict.fromkeys(member.name for manifest in manifests.values() for member in members_of(manifest.details))
    return f"The class probabilities of these models of a fold were averaged: {', '.join(names)}."


def _training(
    summary: ScoredSummary, manifests: Mapping[str, Manifest], parameters: Sequence[Mapping[str, Any]]
) -> str:
    epochs = _same([str(fold.n_epochs) for fold in summary.folds])
    iterations = _of_all(parameters, "trainer", "num_iterations_per_epoch")
    model = "The model" if summary.is_hold_out else "Each fold"
    parts = [f"{model} was trained for {epochs} epochs" + (f" of {iterations} iterations" if iterations else "")]
    if continued := _of_all(parameters, "continues", "variant"):
        n_before = _of_all(parameters, "continues", "n_epochs")
        parts.append(f"(of which the first {n_before} were those of the variant {continued})")
    if batch := _of_all(parameters, "data", "batch_size"):
        parts.append(f"with a batch size of {batch}")
    if patch := _of_all(parameters, "plans", "patch_size"):
        parts.append(f"on patches of {patch} voxels")
    if spacing := _of_all(parameters, "plans", "spacing"):
        parts.append(f"at a spacing of {spacing} mm")
    packages = [
        f"{name} {_same(found)}"
        for name in ("nnunetv2", "torch")
        if (found := [version for manifest in manifests.values() for version in manifest.versions_of(name)])
    ]
    devices = _same([manifest.device for manifest in manifests.values()])
    return f"{' '.join(parts)} ({', '.join([*packages, f'device {devices}'])})."


def _optimization(parameters: Sequence[Mapping[str, Any]]) -> str:
    kind = _of_all(parameters, "optimizer", "class")
    if not kind:
        return ""
    settings = {
        "initial learning rate": _of_all(parameters, "trainer", "initial_lr"),
        "momentum": _of_all(parameters, "optimizer", "momentum"),
        "weight decay": _of_all(parameters, "optimizer", "weight_decay"),
    }
    shown = ", ".join(f"{name} {value}" for name, value in settings.items() if value)
    scheduler, loss = _of_all(parameters, "lr_scheduler", "class"), _of_all(parameters, "loss", "class")
    text = f"The optimizer was {kind}" + (f" ({shown})" if shown else "")
    text += f", the schedule {scheduler}" if scheduler else ""
    text += f", the loss {loss}" if loss else ""
    options = [value for value in (_of_all(parameters, "options", "seed"),) if value]
    return text + (f", the seed {options[0]}." if options else ".")


def _evaluation(summary: ScoredSummary) -> str:
    if summary.experiment.is_ensemble:
        return (
            "Each case was predicted once, by models that were not trained on it. Dice is that of whole cases; where a "
            "label is in neither reference nor prediction it is undefined and left out."
        )
    checkpoints = _same(["a checkpoint that is not known" if one.validated == UNKNOWN else one.validated
                         for one in summary.folds])  # fmt: skip
    text = f"Each case was predicted once, with {checkpoints} of the model "
    if summary.inputs.splits_hash == UNKNOWN:
        text += "of its fold; that this model was not trained on the case is not proved, since it was made elsewhere."
    else:
        text += "that was not trained on it."
    text += (
        " Dice is that of whole cases; where a label is in neither reference nor prediction it is undefined and left "
        "out."
    )
    if early := [fold.fold for fold in summary.folds if fold.stopped_early]:
        text += f" The training of {first_offenders(early)} ended before its last epoch."
    return text


def _of_all(parameters: Sequence[Mapping[str, Any]], group: str, name: str) -> str:
    """Returns what all folds say, `50 or 100` where they differ; empty where none says anything."""
    values = [found.get(group) for found in parameters]
    return _same([_text(value[name]) for value in values if isinstance(value, Mapping) and value.get(name) is not None])


def _same(texts: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(texts))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " × ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
