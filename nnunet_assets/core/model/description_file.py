"""model.json read back: strictly as its types say, and without a contradiction in it.

Whatever passes here leads to no file outside the package's folder: a path is one of those that the layout has.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nnunet_assets.core.files.json_file import JsonError, parse_json
from nnunet_assets.core.files.layout import (
    CONFIGURATION_PATTERN,
    DATASET_PATTERN,
    NAME_PATTERN,
    Experiment,
    fold_index,
)
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.model.model_description import SCHEMA_VERSION, DescribedMember, ModelDescription
from nnunet_assets.core.model.package_layout import WHOLE, expected_files, member_path
from nnunet_assets.errors import ConfigError, PackageError, first_offenders

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHECKPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.pth")


def parse_description(content: bytes, source: Path | str) -> ModelDescription:
    """Returns what the bytes of a model.json say.

    Args:
        content: The bytes.
        source: Where they are from, for the message.

    Raises:
        PackageError: They are of another schema version, not as this package writes it, or contradict themselves.
    """
    try:
        version = _schema_version(content)
        if version != SCHEMA_VERSION:
            raise PackageError(
                f"{source} has schema version {version!r}, and this version of nnunet-assets reads {SCHEMA_VERSION}. "
                "Install the version that made the package, or have the package made anew."
            )
        description = dataclass_from_json(ModelDescription, content)
    except ValueError as error:
        raise PackageError(f"{source} cannot be read as the description of a model: {error}.") from error
    if wrong := list(contradictions(description)):
        raise PackageError(f"{source} contradicts itself: {first_offenders(wrong)}. Have the package made anew.")
    return description


def contradictions(description: ModelDescription) -> Iterator[str]:
    """Yields what in a description cannot be so, each as the rest of a sentence."""
    for member in description.members:
        yield from _of_member(member, description)
    averaged = [member for member in description.members if member.weight]
    yield from _of_kind(description, averaged)
    yield from _of_stages(description, averaged)
    if odd := sorted(set(description.files) ^ set(expected_files(description))):
        leaving = [path for path in odd if _leaves(path)]
        yield (
            f"its files lead out of the package ({first_offenders(leaving)})"
            if leaving
            else f"its files are not those of its members ({first_offenders(odd)})"
        )
    if wrong := [path for path, digest in description.files.items() if not _SHA256.fullmatch(digest)]:
        yield f"the digest of {first_offenders(wrong)} is no SHA-256"
    for name, number in description.numbers.items():
        ends = (number.interval.low, number.interval.high) if number.interval else ()
        if not all(math.isfinite(value) for value in (number.mean, *ends)):
            yield f"its number {name!r} is none"


def _schema_version(content: bytes) -> object:
    found = parse_json(content)
    if not isinstance(found, dict):
        raise JsonError("it is no JSON object")
    json.dumps(found, allow_nan=False)  # what has no JSON in it is not passed on as a number
    return found.get("schema_version")


def _of_member(member: DescribedMember, description: ModelDescription) -> Iterator[str]:
    named = {
        "dataset": (DATASET_PATTERN, member.dataset),
        "trainer": (NAME_PATTERN, member.trainer),
        "plans": (NAME_PATTERN, member.plans),
        "configuration": (CONFIGURATION_PATTERN, member.configuration),
        "variant": (NAME_PATTERN, member.variant or "none"),
    }
    if wrong := [f"{key} {value!r}" for key, (pattern, value) in named.items() if not re.fullmatch(pattern, value)]:
        yield f"a member has the {first_offenders(wrong)}, which names none"
        return
    experiment = Experiment(member.dataset, member.configuration, member.trainer, member.plans, member.variant)
    if member.name != "/".join(experiment.key_prefix):
        yield f"member {member.name!r} is {'/'.join(experiment.key_prefix)} by its own words"
    if member.path != member_path(experiment, is_single=description.kind == "single"):
        yield f"the path {member.path!r} is not that of {member.name}"
    if not member.folds or len(set(member.folds)) < len(member.folds) or not all(map(_is_fold, member.folds)):
        yield f"{member.name} has the folds {list(member.folds)}"
    if not _CHECKPOINT.fullmatch(member.checkpoint):
        yield f"{member.name} has the checkpoint {member.checkpoint!r}"


def _of_kind(description: ModelDescription, averaged: list[DescribedMember]) -> Iterator[str]:
    n, n_averaged = len(description.members), len(averaged)
    fits = {"single": n == 1, "cascade": n > 1 and n_averaged == 1, "ensemble": n_averaged > 1}
    if not fits.get(description.kind, False):
        yield f"a model of kind {description.kind!r} does not have {n} members, {n_averaged} of them averaged"
    if len({member.path for member in description.members}) < n:
        yield "two members have one path"
    if [member.name for member in averaged] != sorted(member.name for member in averaged):
        yield "its members are not in the order of their names"
    if len({member.dataset for member in description.members}) > 1:
        yield "its members are of several datasets"
    # Equal shares alone: the sum is divided once.
    if any(not math.isclose(member.weight, 1 / max(1, n_averaged)) for member in averaged):
        yield "its weights are not equal shares"


def _of_stages(description: ModelDescription, averaged: list[DescribedMember]) -> Iterator[str]:
    by_path = {member.path: member for member in description.members}
    used = {member.path for member in averaged}
    for member in averaged:
        line, stage = [member.path], member.previous
        while stage is not None:
            if stage not in by_path or stage in line:
                yield f"the stage before {member.name} is {stage!r}"
                break
            line.append(stage)
            stage = by_path[stage].previous
        used |= set(line)
    if unused := sorted(set(by_path) - used):
        yield f"nothing needs {first_offenders(unused)}"


def _is_fold(fold: str) -> bool:
    try:
        fold_index(fold)
    except ConfigError:
        return False
    return True


def _leaves(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() or ".." in pure.parts or "\\" in path or path[1:2] == ":" or path == WHOLE
