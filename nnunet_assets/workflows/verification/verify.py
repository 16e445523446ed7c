"""A published file traced back and computed again: file, result, scores, masks, checkpoints, inputs."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.verification.findings import Finding, Verification
from nnunet_assets.core.verification.page_words import markup_numbers, page_words
from nnunet_assets.core.verification.seal_carriers import opened_text, sealed
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.core.verification.table_differences import CellDifference, text_differences
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.known_results import (
    KnownResult,
    ResultKind,
    kind_of,
    known_results,
)
from nnunet_assets.workflows.verification.opened_files import KINDS, OpenedFile, open_file
from nnunet_assets.workflows.verification.origins import Origin, origin_of
from nnunet_assets.workflows.verification.package_walk import package_verification
from nnunet_assets.workflows.verification.result_walks import result_findings
from nnunet_assets.workflows.verification.since_then import since_then
from nnunet_assets.workflows.verification.summary_walk import difference_findings
from nnunet_assets.workflows.verification.walk import Walk

QUICK = (
    "The predicted masks were not scored again, and the raw data not read again (--quick): the scores of folds were "
    "compared with nnU-Net's summary.json, those of an evaluation with its own table of cases, and the raw data are "
    "taken as they were looked at last."
)

_TABLES = ("csv", "parquet", "md", "tex")
_USERS_OWN = ("\\caption{", "\\label{")
"""Lines of a LaTeX table that `export` lets a user write."""


def verify(settings: Settings, files: Sequence[Path], progress: Progress, *, quick: bool = False) -> list[Verification]:
    """Returns what is found about each file, in their order.

    Args:
        settings: Of the project that the files are said to be of.
        files: Tables, pages, figures, results, packages.
        progress: Told how far it is.
        quick: Whether the masks are left out, which takes minutes.

    Raises:
        VerificationError: One of them is not there, cannot be read, or is nothing that this package exports.
    """
    opened = [open_file(file) for file in files]
    walk = Walk(settings.roots, settings.trusted_code, progress, quick)
    known = list(known_results(settings.roots)) if opened else []
    return [_verified(settings, walk, one, known) for one in opened]


def _verified(settings: Settings, walk: Walk, opened: OpenedFile, known: Sequence[KnownResult]) -> Verification:
    name, left_out = str(opened.path), [QUICK] if walk.is_quick else []
    if opened.torn:
        sentence = f"{name} cannot be read as {KINDS[opened.kind]}: {opened.torn}. It was cut, or is another file."
        return Verification.of(name, KINDS[opened.kind], [Finding("file", name, "changed", sentence)])
    if opened.parts:
        parts = [_verified(settings, walk, part, known) for part in opened.parts]
        what = "; ".join(dict.fromkeys(part.what for part in parts))
        return Verification.of(name, what, [one for part in parts for one in part.findings], left_out)
    if opened.kind == "package":
        return package_verification(settings, walk, opened.path, left_out, known)
    if opened.kind == "json":
        result = _result_in(opened, known)
        if result is None:
            sentence = f"{name} is a JSON file, and no result that this package writes."
            return Verification.of(name, "", [Finding("file", name, "changed", sentence)])
        findings = list(_of_result(opened, result, known))
    elif opened.kind in _TABLES:
        origin = origin_of(opened, known)
        result = origin.result if origin else None
        findings = list(_of_table(opened, origin))
    else:
        result = next((one for one in known if one.digest in opened.sources), None)
        findings = list(_of_page(opened, result))
    if result is None:
        return Verification.of(name, KINDS[opened.kind], [*findings, *_of_unknown_source(opened)], left_out)
    if not result.is_current and opened.kind != "json":
        findings.append(Finding("source", result.title, "changed", since_then(result, known)))
    what = f"{KINDS[opened.kind]} of {result.title}"
    return Verification.of(name, what, [*findings, *result_findings(walk, settings, result, known)], left_out)


def _of_table(opened: OpenedFile, origin: Origin | None) -> Iterator[Finding]:
    """Yields whether a table says what the one that is made anew says."""
    name = opened.path.name
    if origin is None:
        yield from _of_sealed(opened)
        return
    found = f"{origin.export}, made again from {origin.result.title}"
    guessed = "" if origin.is_named else f" ({_why_guessed(opened)}: it was found by what it says)"
    differences = _without_users_own(opened, origin.differences)
    if not differences:
        n = sum(map(len, opened.rows))
        anew = " It was saved anew since it was made, with other bytes that say the same." * _is_saved_anew(
            opened, origin
        )
        yield Finding("file", name, "holds", f"Its {n} cells and lines are those of {found}{guessed}.{anew}")
        return
    seal = opened.seal
    if seal and _is_as_made(opened) and seal.version != version("nnunet_assets"):
        sentence = f"It is as version {seal.version} wrote it. This version writes {found}, otherwise."
        yield Finding("file", name, "unknown", sentence)
        return
    n = len(differences)
    sentence = f"It differs in {n} cell{'' if n == 1 else 's'} or line{'' if n == 1 else 's'} from {found}{guessed}."
    yield Finding("file", name, "changed", sentence)
    yield from difference_findings("file", name, differences)


def _why_guessed(opened: OpenedFile) -> str:
    return "the source that it names is not known here" if opened.sources else "it names no source"


def _without_users_own(opened: OpenedFile, differences: Sequence[CellDifference]) -> list[CellDifference]:
    """Returns the differences without a caption and a label that the table was made with."""
    if opened.kind != "tex" or not _is_as_made(opened):
        return list(differences)

    def is_own(one: CellDifference) -> bool:
        return all(text is None or text.startswith(_USERS_OWN) for text in (one.found, one.expected))

    return [one for one in differences if not is_own(one)]


def _of_sealed(opened: OpenedFile) -> Iterator[Finding]:
    """Yields whether a file says what it said when it was made, by the digest in it."""
    name, seal = opened.path.name, opened.seal
    if seal is None and not opened.sources:
        sentence = f"{name} carries no digest, and no table of this project says the same: nobody knows what it is of."
        yield Finding("file", name, "unknown", sentence)
    elif seal is None:
        sentence = f"Whether {name} was changed cannot be told: a CSV names its source alone."
        yield Finding("file", name, "unknown", sentence)
    elif _is_as_made(opened):
        sentence = f"It says what it said when version {seal.version} made it as {seal.export} of {seal.of}."
        yield Finding("file", name, "holds", sentence)
    else:
        sentence = f"It was changed since it was made as {seal.export} of {seal.of}: its content has another digest."
        yield Finding("file", name, "changed", sentence)


def _of_page(opened: OpenedFile, result: KnownResult | None) -> Iterator[Finding]:
    """Yields whether a page or figure is as it was made, and where it is not while the project has its own copy."""
    own = _own_copy(opened, result)
    if own is None or opened.kind == "png":
        yield from _of_sealed(opened)
        return
    texts = [opened_text(one.read_text(encoding="utf-8-sig"), opened.kind)[0] for one in (opened.path, own)]
    if all(read(texts[0]) == read(texts[1]) for read in (page_words, markup_numbers)):
        sentence = (
            f"Its words and numbers are those of {own}, but its markup was written anew since it was made: whether it "
            "draws the same cannot be told."
        )
        yield Finding("file", opened.path.name, "unknown", sentence)
        return
    yield from _of_sealed(opened)
    yield from difference_findings("file", opened.path.name, list(text_differences(*texts)))


def _own_copy(opened: OpenedFile, result: KnownResult | None) -> Path | None:
    """Returns the page or figure of the project from which one was changed; None: it was not, or there is none."""
    seal = opened.seal
    if result is None or seal is None or _is_as_made(opened):
        return None
    for folder in (result.file.parent, result.file.parent / "figures"):
        file = folder / seal.export
        own = open_file(file) if file.is_file() else None
        if own and own.seal == seal and own.digest == seal.content:
            return file
    return None


def _of_unknown_source(opened: OpenedFile) -> Iterator[Finding]:
    if not opened.sources:
        return
    digests = ", ".join(sorted(digest[:12] for digest in opened.sources))
    of = f", a result of {opened.seal.of}" if opened.seal else ""
    sentence = (
        f"What it was made from (SHA-256 {digests}{of}) is not in this project, neither as it lies there nor among "
        "what was kept. It is another project's, or was taken away."
    )
    yield Finding("source", opened.path.name, "unknown", sentence)


def _result_in(opened: OpenedFile, known: Sequence[KnownResult]) -> KnownResult | None:
    """Returns the result that a JSON file is: one of the project's, or that of the file itself."""
    content: dict[str, Any] = opened.content
    kind = kind_of(content)
    if kind is None:
        return None
    digest = KnownResult(kind, "", None, content, opened.path, is_current=True).digest
    if found := next((one for one in known if one.digest == digest), None):
        return found
    name = _NAMED_BY.get(kind)
    alike = (one for one in known if name and one.kind == kind and one.content.get(name) == content[name])
    if found := next(alike, None):
        return KnownResult(kind, found.of, found.experiment, content, found.file, is_current=True)
    return KnownResult(kind, str(content.get("dataset", opened.path.name)), None, content, opened.path, is_current=True)


_NAMED_BY: Mapping[ResultKind, str] = {"cv_summary": "experiment", "evaluation": "subject", "gap": "folds"}
"""What of a result's content says whose it is, where it is otherwise than the project's."""


def _of_result(opened: OpenedFile, result: KnownResult, known: Sequence[KnownResult]) -> Iterator[Finding]:
    if result not in known:
        return
    if result.is_current:
        sentence = f"It is, value by value, {result.title} as it lies in the project."
        yield Finding("file", opened.path.name, "holds", sentence)
        return
    yield Finding("file", opened.path.name, "changed", since_then(result, known))


def _is_saved_anew(opened: OpenedFile, origin: Origin) -> bool:
    """Says whether a table that says the same is otherwise written than it was made; False where nobody can tell."""
    if opened.seal:
        return not _is_as_made(opened)
    if opened.kind != "csv" or not opened.sources:
        return False
    result = origin.result
    made = sealed(result.exports[origin.export](), origin.export, Sealing(result.of, result.digest))
    return opened.path.read_bytes() != made


def _is_as_made(opened: OpenedFile) -> bool:
    return opened.seal is not None and opened.digest == opened.seal.content
