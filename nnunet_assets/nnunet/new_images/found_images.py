"""New images and the cases that they are of: a folder named as nnU-Net does, files, or a folder and a pattern.

Looks at names only; what is in the files is for `checked_images`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.text.case_names import case_names
from nnunet_assets.core.text.file_pattern import FilePattern, FoundFile
from nnunet_assets.errors import PredictionError, first_offenders
from nnunet_assets.nnunet.raw.case_files import find_new_cases


@dataclass(frozen=True)
class FoundImages:
    """The cases to predict.

    Attributes:
        folder: To which names in messages are relative.
        cases: By name; without labels.
        findings: What is wrong with their names.
        renamed: Text that the pattern found to the name of the case, where that is no file name.
    """

    folder: Path
    cases: tuple[CaseFiles, ...]
    findings: tuple[Finding, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def find_images(
    given: Sequence[Path], description: DatasetDescription, *, pattern: str | None = None, channels: Sequence[str] = ()
) -> FoundImages:
    """Returns the cases in a folder, or of files.

    Args:
        given: One folder, or files.
        description: The model's dataset.json: which channels, and which ending.
        pattern: How the files below the folder are named, such as `{case}/{channel}.nii.gz`; None: as nnU-Net names
            them, `CASE_0000.nii.gz`.
        channels: What `{channel}` stands for, in the order of the model's channels; empty: numbers in their order, or
            the names of the model's channels.

    Raises:
        ConfigError: The pattern is wrong.
        PredictionError: There is nothing there, or files do not make up cases.
    """
    if missing := [path for path in given if not path.exists()]:
        raise PredictionError(f"There is no {first_offenders(missing)}. Give a folder of images, or image files.")
    folders = [path for path in given if path.is_dir()]
    if folders and len(given) > 1:
        raise PredictionError(f"{folders[0]} is a folder. Give one folder alone, or files alone.")
    if not folders:
        if pattern is not None:
            raise PredictionError("A pattern says how files below a folder are named. Give the folder, not its files.")
        return _of_files(given, description)
    (folder,) = folders
    if pattern is None:
        cases, findings = find_new_cases(folder, description)
        return FoundImages(folder.parent, tuple(cases), tuple(findings))
    return _by_pattern(folder, description, pattern, tuple(channels))


def _of_files(given: Sequence[Path], description: DatasetDescription) -> FoundImages:
    """Groups files by the case in their names; for one channel, a name without its number is the case's."""
    ending, n_channels = description.file_ending, len(description.channel_names)
    if odd := [path.name for path in given if not path.name.endswith(ending)]:
        raise PredictionError(
            f"The model reads files that end in {ending}, and {first_offenders(odd)} do not. Convert them first."
        )
    found = []
    for path in given:
        stem = path.name.removesuffix(ending)
        numbered = re.fullmatch(r"(.+)_(\d{4})", stem, re.DOTALL)
        if numbered is None and n_channels > 1:
            raise PredictionError(
                f"{path.name} has no channel number, and the model takes {n_channels} channels: name the files "
                f"{stem}_0000{ending}, {stem}_0001{ending} and so on, or give their folder and --pattern."
            )
        found.append(FoundFile(path, numbered[1] if numbered else stem, numbered[2] if numbered else "0000"))
    wanted = [f"{index:04d}" for index in range(n_channels)]
    return FoundImages(given[0].parent, tuple(_grouped(found, wanted)))


def _by_pattern(folder: Path, description: DatasetDescription, pattern: str, channels: tuple[str, ...]) -> FoundImages:
    names = description.channel_names
    found = FilePattern(pattern, channels or names).find(folder)
    if not found:
        there = sorted(path.name for path in folder.iterdir())
        raise PredictionError(
            f"The pattern {pattern!r} finds no file in {folder}, which holds {first_offenders(there) or 'nothing'}. "
            "{case} stands for the name of a case, {channel} for that of a channel, * for anything."
        )
    ending = description.file_ending
    if odd := [str(file.path.relative_to(folder)) for file in found if not file.path.name.endswith(ending)]:
        raise PredictionError(
            f"The model reads files that end in {ending}, and the pattern finds {first_offenders(odd)}. Write the "
            "ending into the pattern, or convert the files."
        )
    renames = case_names(sorted({file.case for file in found}))
    renamed = {old: new for old, new in renames.items() if old != new}
    cases = _grouped(
        [FoundFile(file.path, renames[file.case], file.channel) for file in found],
        _tokens({file.channel for file in found}, names, channels),
    )
    return FoundImages(folder, tuple(cases), renamed=renamed)


def _tokens(there: set[str | None], names: tuple[str, ...], channels: tuple[str, ...]) -> Sequence[str | None]:
    """Returns what `{channel}` stands for, in the order of the model's channels.

    Raises:
        PredictionError: It stands for something else than the model's channels.
    """
    texts = sorted(text for text in there if text is not None)
    numbers = sorted((text for text in texts if text.isdecimal()), key=int)
    if not texts:
        order: Sequence[str | None] = (None,)
    elif channels:
        order = channels
    else:
        order = numbers if len(numbers) == len(texts) else [name for name in names if name in texts]
    if len(order) != len(names) or set(order) < there:
        said = f"has the channels {first_offenders(texts)}" if texts else "has one file a case"
        raise PredictionError(
            f"The model takes {len(names)} channel{'' if len(names) == 1 else 's'} ({', '.join(names)}), and the "
            f"pattern {said}. Say with --channel what {{channel}} stands for, once for each, in the model's order."
        )
    return order


def _grouped(found: Sequence[FoundFile], tokens: Sequence[str | None]) -> list[CaseFiles]:
    """Returns the cases by name.

    Raises:
        PredictionError: Two files would be the same channel of a case, or a channel is missing.
    """
    files: dict[str, dict[str | None, Path]] = {}
    for file in found:
        other = files.setdefault(file.case, {}).setdefault(file.channel, file.path)
        if other != file.path:
            raise PredictionError(
                f"{other} and {file.path} would both be the case {file.case!r}: their masks would have one name. "
                "Predict them into folders of their own, or rename one."
            )
    wrong = [case for case, has in sorted(files.items()) if set(has) != set(tokens)]
    if wrong:
        has = ", ".join(sorted(map(str, files[wrong[0]])))
        raise PredictionError(
            f"{len(wrong)} of {len(files)} cases do not have exactly the channels {', '.join(map(str, tokens))}: "
            f"{first_offenders(wrong)}; the first has {has}. Complete them, or leave them out."
        )
    return [CaseFiles(case, tuple(files[case][token] for token in tokens), None) for case in sorted(files)]
