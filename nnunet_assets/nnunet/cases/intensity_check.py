"""What nnU-Net's cropping and its planned normalization will make of the images of a dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intensity_rules import Effect, Extremes, Scheme, ct_effect, effects, scheme_of
from nnunet_assets.nnunet.cases.case_check import CaseFacts

_REMEDY = "Put a value there that makes sense for the image, or leave the case out by `quarantine`."


def intensity_findings(
    cases: Sequence[CaseFiles], facts: Sequence[CaseFacts], folder: Path, description: DatasetDescription
) -> Iterator[Finding]:
    """Yields images that nnU-Net's normalization turns into nothing, or flattens for the sake of a few voxels.

    Args:
        cases: The cases.
        facts: What is known of each, in the same order.
        folder: The dataset's.
        description: Its dataset.json, whose channel names say how nnU-Net will normalize.
    """
    for channel, channel_name in enumerate(description.channel_names):
        scheme = scheme_of(channel_name)
        read = [
            (files, fact, fact.extremes[channel])
            for files, fact in zip(cases, facts, strict=True)
            if channel < len(fact.extremes)
        ]
        known = [(files, fact, image) for files, fact, image in read if image]
        usual = float(np.median([image.rest.spread for *_, image in known])) if known else 0.0
        for files, fact, image in known:
            path = files.images[channel]
            name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
            for effect in _effects(image, scheme, _n_foreground(fact), len(facts), usual):
                message = f"{_subject(name, image)} {effect.sentence}{f' {_REMEDY}' if image.voxel else ''}"
                yield Finding("D033", effect.severity, message, files.case, name)


def cropped_labels(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields cases whose labels nnU-Net crops away with what is 0 in every image; an error where no label is left."""
    n_labelled = {fact.case: _n_foreground(fact) for fact in facts}
    n_left = sum(n_labelled[fact.case] - fact.n_cropped_label_voxels for fact in facts)
    lost = [fact for fact in facts if fact.n_cropped_label_voxels and n_labelled[fact.case]]
    if lost and not n_left:
        message = (
            f"nnU-Net crops a case to what is not 0 in its images, and in none of {len(facts)} cases a voxel of a "
            "label is left then: there is nothing to learn, and its planning ends without a word. Do images and labels "
            "belong together, and lie in the same place?"
        )
        yield Finding("D080", "error", message)
        return
    for fact in lost:
        n_lost, n_all = fact.n_cropped_label_voxels, n_labelled[fact.case]
        message = (
            f"Case {fact.case!r} has {n_lost} of {n_all} label voxels where each of its images is 0 from there to a "
            "border. nnU-Net crops that away and learns nothing of them, but counts them when it validates. Look "
            "whether image and label belong together."
        )
        yield Finding("D080", "warning", message, fact.case)


def _effects(image: Extremes, scheme: Scheme, n_foreground: int, n_cases: int, usual_spread: float) -> Iterator[Effect]:
    yield from effects(image, scheme)
    if scheme == "ct" and not image.n_too_large and (found := ct_effect(image, n_foreground, n_cases, usual_spread)):
        yield found


def _n_foreground(fact: CaseFacts) -> int:
    return sum(n for value, n in (fact.voxels_by_value or {}).items() if value > 0)


def _subject(name: str, image: Extremes) -> str:
    if image.voxel is None:
        return f"{name} has intensities that its normalization does not suit."
    n_others = max(image.n_too_large, image.n_odd) - 1
    others = f" and {n_others} more such voxel{'s' if n_others > 1 else ''}" if n_others else ""
    return f"{name} has {image.value} at index {image.voxel}{others}."
