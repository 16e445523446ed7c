"""Images and labels in any folder, case by case: found by patterns, or listed in a table.

Looks at names only. A table is CSV, or TSV by its ending, with the columns `case`, `image` (or `image_NAME` for each
channel), `label` and, if wanted, `set` (`training` or `test`); any other column is kept for whoever splits the cases.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.regular_file import regular_text
from nnunet_assets.core.text.case_names import case_names
from nnunet_assets.core.text.file_pattern import FilePattern, FoundFile
from nnunet_assets.errors import ConfigError, DatasetError, first_offenders

Channels = tuple[str, ...]


@dataclass(frozen=True)
class SourceCase:
    """The files of one case.

    Attributes:
        images: By channel; one file where it holds the channels as fourth axis.
        label: None: a test case without one.
    """

    images: tuple[Path, ...]
    label: Path | None


@dataclass(frozen=True)
class SourceCases:
    """What is to become a dataset.

    Attributes:
        folder: Where it lies.
        training: By case name, sorted.
        test: Likewise, for `imagesTs`.
        channels: Their names, in order.
        renamed: Original name to case name, where they differ.
        columns: Names of the further columns of a table.
        rows: The further values by case name.
    """

    folder: Path
    training: Mapping[str, SourceCase]
    test: Mapping[str, SourceCase]
    channels: Channels
    renamed: Mapping[str, str]
    columns: tuple[str, ...] = ()
    rows: Mapping[str, tuple[str, ...]] | None = None

    @property
    def files(self) -> Iterator[Path]:
        """Every image and label."""
        for case in (*self.training.values(), *self.test.values()):
            yield from case.images
            if case.label:
                yield case.label

    def table(self) -> bytes:
        """Returns the further columns as CSV, a line a case."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case", *self.columns])
        writer.writerows([case, *values] for case, values in sorted((self.rows or {}).items()))
        return text.getvalue().encode()


def cases_by_pattern(
    folder: Path, images: str, labels: str, *, test_images: str | None = None, channels: Channels = ()
) -> SourceCases:
    """Returns the cases that patterns find below a folder.

    Args:
        folder: Where the patterns begin.
        images: Pattern of the training images.
        labels: Pattern of their labels.
        test_images: Pattern of images without labels; None: there are none.
        channels: Names of the channels: for numbered channels and for images without `{channel}` in the order of the
            numbers; else those of the files to take, in the wanted order.

    Raises:
        ConfigError: A pattern is wrong, or the channels do not fit what was found.
        DatasetError: There is no such folder, a pattern finds nothing, or cases are incomplete or clash.
    """
    _refuse_no_folder(folder)
    image_pattern = FilePattern(images, channels)
    found = _found(image_pattern, folder)
    label_pattern = FilePattern(labels, case_words=image_pattern.case_words)
    if label_pattern.has_channel:
        raise ConfigError(f"The pattern of the labels, {labels!r}, has a {{channel}}; a case has one label image.")
    tokens, names = _channel_order({file.channel for file in found}, channels)
    training = _by_case(found, tokens)
    label_files = {case: files[0] for case, files in _by_case(_found(label_pattern, folder), (None,)).items()}
    _refuse_unpaired(folder, set(training), set(label_files))
    test = {}
    if test_images is not None:
        test = _by_case(_found(FilePattern(test_images, channels, image_pattern.case_words), folder), tokens)
    _refuse_both(set(training) & set(test))
    renames = case_names([*training, *test])
    return SourceCases(
        folder=folder,
        training={renames[case]: SourceCase(files, label_files[case]) for case, files in training.items()},
        test={renames[case]: SourceCase(files, None) for case, files in test.items()},
        channels=names,
        renamed={old: new for old, new in renames.items() if old != new},
    )


def cases_by_list(folder: Path, table: Path, *, channels: Channels = ()) -> SourceCases:
    """Returns the cases that a table lists; its paths begin at the folder, or are absolute.

    Args:
        folder: Where relative paths begin.
        table: The CSV or TSV file.
        channels: The name of the only channel of a column `image`; or those of `image_NAME` in the wanted order.

    Raises:
        ConfigError: The columns or the channels are wrong.
        DatasetError: The table cannot be read, a file is not there, or cases are incomplete or clash.
    """
    _refuse_no_folder(folder)
    columns, rows = _read_table(table)
    image_columns, names = _image_columns(table, columns, channels)
    extra = tuple(name for name in columns if name not in {"case", "label", "set", *_images_in(columns)})
    training: dict[str, SourceCase] = {}
    test: dict[str, SourceCase] = {}
    values: dict[str, tuple[str, ...]] = {}
    problems = []
    for line, row in rows:
        where, case = f"line {line}", row["case"]
        files = [(column, folder / row[column]) for column in (*image_columns, "label") if row.get(column)]
        is_test = row.get("set", "") == "test"
        wanted = image_columns if is_test else (*image_columns, "label")
        problems += [f"{where} has no {column}" for column in ("case", *wanted) if not row.get(column)]
        problems += [f"{where}: {column} {path} is not there" for column, path in files if not path.is_file()]
        if row.get("set", "") not in ("", "training", "test"):
            problems.append(f"{where}: set is {row['set']!r}, neither training nor test")
        if case in values:
            problems.append(f"{where} has the case {case!r} again")
        values[case] = tuple(row[name] for name in extra)
        images = tuple(path for column, path in files if column != "label")
        label = next((path for column, path in files if column == "label"), None)
        (test if is_test else training)[case] = SourceCase(images, label)
    if problems or not training:
        said = first_offenders(problems) or "it lists no training case"
        raise DatasetError(f"{table} cannot be imported: {said}. Correct the table; paths begin at {folder}.")
    renames = case_names(values)
    return SourceCases(
        folder=folder,
        training={renames[case]: files for case, files in sorted(training.items())},
        test={renames[case]: files for case, files in sorted(test.items())},
        channels=names,
        renamed={old: new for old, new in renames.items() if old != new},
        columns=extra,
        rows={renames[case]: row for case, row in values.items()},
    )


def _refuse_no_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}. Give the folder below which the images and labels lie.")


def _found(pattern: FilePattern, folder: Path) -> list[FoundFile]:
    found = pattern.find(folder)
    if not found:
        there = sorted(path.name for path in folder.iterdir())
        raise DatasetError(
            f"The pattern {pattern.text!r} finds no file in {folder}, which holds "
            f"{first_offenders(there) or 'nothing'}. "
            "{case} stands for the name of a case, {channel} for that of a channel, * for anything."
        )
    return found


def _channel_order(tokens: set[str | None], names: Channels) -> tuple[tuple[str | None, ...], Channels]:
    """Returns the channels as the files name them, in order, and their names."""
    texts = sorted(token for token in tokens if token is not None)
    numbered = [text for text in texts if text.isdecimal()]
    if numbered and len(numbered) < len(texts):
        raise ConfigError(f"{{channel}} is a number in some files and a name in others: {first_offenders(texts)}.")
    if texts and not numbered:
        if names and set(names) != set(texts):
            raise ConfigError(f"--channel names {', '.join(names)}, but the files have {first_offenders(texts)}.")
        return tuple(names or texts), tuple(names or texts)
    numbered.sort(key=int)
    if not names or (texts and len(names) != len(texts)):
        found = f"the files have the channels {', '.join(numbered)}" if texts else "one file holds every channel"
        raise ConfigError(
            f"--channel is given {len(names)} times, but {found}. Give --channel NAME for each, in this order: nnU-Net "
            "normalizes a channel by its name, CT in a way of its own and any other by its mean and spread."
        )
    return tuple(numbered) or (None,), names


def _by_case(found: Sequence[FoundFile], tokens: Sequence[str | None]) -> dict[str, tuple[Path, ...]]:
    files: dict[str, dict[str | None, Path]] = {}
    for file in found:
        other = files.setdefault(file.case, {}).setdefault(file.channel, file.path)
        if other != file.path:
            channel = "" if file.channel is None else f", channel {file.channel}"
            raise DatasetError(
                f"{other} and {file.path} would both be the case {file.case!r}{channel}. Make the pattern narrower, or "
                "name what tells them apart by another word in braces, such as {session}."
            )
    wrong = [
        f"{case!r} ({', '.join(map(str, sorted(map(str, has))))})"
        for case, has in files.items()
        if set(has) != set(tokens)
    ]
    if wrong:
        raise DatasetError(
            f"{len(wrong)} of {len(files)} cases do not have exactly the channels {', '.join(map(str, tokens))}: "
            f"{first_offenders(wrong)}. Complete them, or leave them out by a narrower pattern."
        )
    return {case: tuple(files[case][token] for token in tokens) for case in sorted(files)}


def _refuse_unpaired(folder: Path, images: set[str], labels: set[str]) -> None:
    problems = []
    for what, lacking in (("a label", sorted(images - labels)), ("an image", sorted(labels - images))):
        if lacking:
            cases = "1 case has" if len(lacking) == 1 else f"{len(lacking)} cases have"
            problems.append(f"{cases} no file of {what}: {first_offenders(lacking)}.")
    if problems:
        raise DatasetError(
            f"The patterns do not pair images and labels in {folder}. {' '.join(problems)} Correct the patterns or the "
            "names; images without labels may be named by --test-images."
        )


def _refuse_both(cases: set[str]) -> None:
    if cases:
        raise DatasetError(
            f"{first_offenders(sorted(cases))} would be training and test cases at once. Make the patterns narrower."
        )


def _read_table(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Returns the columns, and line number and values of each row."""
    try:
        text = regular_text(table, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{table} cannot be read: {error}. Save it as CSV in UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if table.suffix.lower() == ".tsv" else ",")
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k is not None}) for row in reader]
    return columns, rows


def _image_columns(table: Path, columns: Sequence[str], channels: Channels) -> tuple[tuple[str, ...], Channels]:
    found = _images_in(columns)
    named = [name.removeprefix("image_") for name in found if name != "image"]
    if "case" not in columns or len(set(columns)) < len(columns) or not found or (named and "image" in found):
        raise ConfigError(
            f"{table} has {_known_columns(columns, found)}. It needs 'case', 'label', and 'image' or one 'image_NAME' "
            "for each channel, each once."
        )
    if not named:
        _, names = _channel_order({None}, channels)
        return ("image",), names
    if channels and set(channels) != set(named):
        raise ConfigError(f"--channel names {', '.join(channels)}, but {table} has {first_offenders(named)}.")
    names = tuple(channels or named)
    return tuple(f"image_{name}" for name in names), names


def _known_columns(columns: Sequence[str], images: Sequence[str]) -> str:
    """Returns the columns for people; of a file that has none that is needed, nothing: it is no such table."""
    if not {"case", "label", *images} & set(columns):
        return "none of the columns of a list"
    return f"the columns {first_offenders(columns)}"


def _images_in(columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name == "image" or name.startswith("image_")]
