"""What is said of a file, by what was read of it and what it was found to be made from."""

from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding, Verification
from nnunet_assets.core.verification.seals import Seal
from nnunet_assets.core.verification.table_differences import CellDifference
from nnunet_assets.workflows.verification import verify as module
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.opened_files import OpenedFile
from nnunet_assets.workflows.verification.origins import Origin

NOW, EARLIER = version("nnunet_assets"), "0.0.1"
GAP = KnownResult("gap", "D", None, {"gaps": [], "predictions": "p", "folds": "D/E"}, Path("gap.json"), is_current=True)
ROWS = [["a", "b"], ["1", "2"], ["3"]]


def sealed_file(kind: Any = "md", *, digest: str = "c", made_by: str = NOW, **fields: Any) -> OpenedFile:
    seal = Seal("gap.md", "D", GAP.digest, "c", made_by)
    return OpenedFile(
        Path(f"x/gap.{kind}"), kind, seals=(seal,), sources=frozenset({GAP.digest}), digest=digest, **fields
    )


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns what is said of a file, with an origin and what is known given."""

    def of(
        opened: OpenedFile,
        origin: Origin | None = None,
        known: tuple[KnownResult, ...] = (GAP,),
        *,
        quick: bool = False,
    ) -> Verification:
        monkeypatch.setattr(module, "open_file", lambda _: opened)
        monkeypatch.setattr(module, "origin_of", lambda *_: origin)
        monkeypatch.setattr(module, "known_results", lambda _: known)
        monkeypatch.setattr(module, "since_then", lambda *_: "It was made again since.")
        monkeypatch.setattr(module, "result_findings", lambda *_: [Finding("scores", "s", "holds", "Scores hold.")])
        settings = cast(Any, SimpleNamespace(roots=None, trusted_code=None))
        (found,) = module.verify(settings, [opened.path], Silent(), quick=quick)
        return found

    return of


def origin(*differences: CellDifference, result: KnownResult = GAP, is_named: bool = True) -> Origin:
    return Origin(result, "gap.md", list(differences), is_named)


def sentences(found: Verification) -> list[str]:
    return [one.sentence for one in found.findings]


def test_a_table_that_says_the_same_is_counted(said: Any) -> None:
    found = said(sealed_file(rows=ROWS), origin())
    assert sentences(found) == [
        "Its 5 cells and lines are those of gap.md, made again from the gap of D.",
        "Scores hold.",
    ]
    assert (found.file, found.what, found.left_out) == ("x/gap.md", "a Markdown table of the gap of D", ())
    assert said(sealed_file(rows=ROWS), origin(), quick=True).left_out == (module.QUICK,)


@pytest.mark.parametrize(
    ("opened", "is_named", "said_of_it"),
    [
        (sealed_file(rows=ROWS, digest="other"), True, "the gap of D. It was saved anew since it was made,"),
        (sealed_file(rows=ROWS), False, "the gap of D (the source that it names is not known here: it was found by"),
        (OpenedFile(Path("x.md"), "md", rows=ROWS), False, "the gap of D (it names no source: it was found by what it"),
    ],
)
def test_what_else_is_known_of_one_that_says_the_same(
    said: Any, opened: OpenedFile, is_named: bool, said_of_it: str
) -> None:
    assert said_of_it in sentences(said(opened, origin(is_named=is_named)))[0]


def test_a_csv_is_saved_anew_where_its_bytes_are_others(said: Any, tmp_path: Path) -> None:
    result = KnownResult("gap", "D", None, {"folds": "D/E"}, tmp_path / "gap.json", is_current=True)
    result.__dict__["exports"] = {"gap.md": lambda: b"a\n"}
    file = tmp_path / "x.csv"
    file.write_bytes(b"a\n1\n")
    opened = OpenedFile(file, "csv", rows=ROWS, sources=frozenset({result.digest}))
    assert "saved anew" in sentences(said(opened, origin(result=result)))[0]
    for one in (OpenedFile(file, "csv", rows=ROWS), OpenedFile(file, "md", rows=ROWS, sources=opened.sources)):
        assert "saved anew" not in sentences(said(one, origin(result=result)))[0]


CELL = CellDifference("organ, dice", "1", "2")


@pytest.mark.parametrize(
    ("differences", "said_of_them"), [([CELL], "1 cell or line from"), ([CELL, CELL], "2 cells or lines from")]
)
def test_differences_are_counted_and_named(said: Any, differences: list[CellDifference], said_of_them: str) -> None:
    for opened in (sealed_file(digest="other", made_by=EARLIER), sealed_file(), OpenedFile(Path("gap.md"), "md")):
        found = said(opened, origin(*differences))
        assert found.findings[0].verdict == "changed"
        assert found.findings[0].sentence.startswith(f"It differs in {said_of_them} gap.md, made again from")
        assert found.findings[1].sentence.casefold() == CELL.sentence().casefold()


def test_one_that_an_earlier_version_wrote_otherwise_is_not_known_to_be_wrong(said: Any) -> None:
    found = said(sealed_file(made_by=EARLIER), origin(CELL))
    assert [one.verdict for one in found.findings] == ["unknown", "holds"]
    assert sentences(found)[0].startswith("It is as version 0.0.1 wrote it. This version writes gap.md, made again")


def test_only_a_caption_and_label_that_it_was_made_with_are_the_users_own(said: Any) -> None:
    own = [
        CellDifference("line 1", "\\caption{Ours", "\\caption{Made"),
        CellDifference("line 2", "\\label{tab}", None),
        CellDifference("line 3", None, "\\label{tab}"),
    ]
    half = CellDifference("line 4", "\\caption{Ours", "mine")
    assert said(sealed_file("tex", rows=ROWS), origin(*own)).findings[0].verdict == "holds"
    for opened, differences in (
        (sealed_file("tex"), [*own, half]),
        (sealed_file("tex", digest="other"), own),
        (sealed_file("md"), own),
        (OpenedFile(Path("x.tex"), "tex"), own),
    ):
        assert said(opened, origin(*differences)).findings[0].verdict == "changed"
    assert "differs in 1 cell or line" in sentences(said(sealed_file("tex"), origin(*own, half)))[0]


@pytest.mark.parametrize(
    ("opened", "verdicts", "said_of_it"),
    [
        (OpenedFile(Path("x.md"), "md"), ["unknown"], "x.md carries no digest, and no table of this project says"),
        (OpenedFile(Path("x.csv"), "csv", sources=frozenset({"9" * 64})), ["unknown"] * 2, "Whether x.csv was changed"),
        (sealed_file(), ["holds", "unknown"], f"It says what it said when version {NOW} made it as gap.md of D."),
        (sealed_file(digest="other"), ["changed", "unknown"], "It was changed since it was made as gap.md of D: its"),
    ],
)
def test_one_of_no_origin_is_held_against_its_own_digest(
    said: Any, opened: OpenedFile, verdicts: list[str], said_of_it: str
) -> None:
    found = said(opened)
    assert [one.verdict for one in found.findings] == verdicts
    assert sentences(found)[0].startswith(said_of_it)


def test_sources_that_are_not_known_are_named_in_twelve_digits(said: Any) -> None:
    opened = OpenedFile(Path("x.csv"), "csv", sources=frozenset({"b" * 64, "a" * 64}))
    assert f"(SHA-256 {'a' * 12}, {'b' * 12}) is not in this project" in sentences(said(opened))[-1]
    assert f"(SHA-256 {GAP.digest[:12]}, a result of D) is not" in sentences(said(sealed_file()))[-1]


def test_tables_and_pages_of_an_earlier_result_say_what_happened_since_then(said: Any) -> None:
    earlier = KnownResult("gap", "D", None, GAP.content, Path("gap.json"), is_current=False)
    for opened in (sealed_file(rows=ROWS), sealed_file("svg")):
        found = said(opened, origin(result=earlier), (earlier,))
        assert [(one.level, one.verdict) for one in found.findings] == [
            ("file", "holds"),
            ("source", "changed"),
            ("scores", "holds"),
        ]
        assert found.findings[1].what == "an earlier gap of D"


def test_a_result_is_that_of_the_project_or_the_files_own(said: Any) -> None:
    other = KnownResult("gap", "Other", None, {**GAP.content, "folds": "D/F"}, Path("other.json"), is_current=True)
    summary = KnownResult("cv_summary", "Summary", None, {**GAP.content, "a": 1}, Path("cv.json"), is_current=True)
    earlier = KnownResult("gap", "D", None, GAP.content, Path("gap.json"), is_current=False)

    def one(content: Any, *known: KnownResult) -> tuple[list[str], str]:
        found = said(OpenedFile(Path("a/x.json"), "json", content=content), known=known)
        return [one.verdict for one in found.findings], found.what

    assert one({"a": 1}, GAP) == (["changed"], "")
    assert one(GAP.content, other, GAP) == (["holds", "holds"], "a result as JSON of the gap of D")
    assert one(GAP.content, earlier) == (["changed", "holds"], "a result as JSON of an earlier gap of D")
    assert one({**GAP.content, "gaps": [1]}, other, summary, GAP) == (["holds"], "a result as JSON of the gap of D")
    assert one({**GAP.content, "folds": "?"}, other, GAP) == (["holds"], "a result as JSON of the gap of x.json")
    assert one({**GAP.content, "dataset": "D9"}) == (["holds"], "a result as JSON of the gap of D9")


def test_an_unreadable_file_is_said_to_be_cut(said: Any) -> None:
    found = said(OpenedFile(Path("x.md"), "md", torn="no rows"))
    assert sentences(found) == ["x.md cannot be read as a Markdown table: no rows. It was cut, or is another file."]
    assert (found.findings[0].verdict, found.what) == ("changed", "a Markdown table")


def test_the_parts_of_a_text_are_put_together(said: Any) -> None:
    part, torn = OpenedFile(Path("x.md"), "md", rows=ROWS), OpenedFile(Path("x.md"), "tex", torn="cut")
    found = said(OpenedFile(Path("x.md"), "md", parts=(part, part, torn)), quick=True)
    assert (found.what, len(found.findings)) == ("a Markdown table; a LaTeX table", 2)
    assert found.left_out == (module.QUICK,)
