"""Files that were exported, copied, renamed, saved again, edited by a digit, or of folds that were trained again."""

import csv
import gzip
import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import comparison_folder
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.seal_carriers import opened_text
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import VerificationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.results.compare import make_comparison
from nnunet_assets.workflows.results.export_tables import export_latex, export_tables
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets.workflows.verification.verify import QUICK, verify
from nnunet_assets_tests.verification_builders import (
    DATASET,
    ELSEWHERE,
    EXPERIMENT,
    FOLDS,
    WHOLE,
    exported_files,
    finish_fold,
    said_of,
    sentences,
)

TEXTS = (
    *("cv_table.csv", "cv_table.tex", "cv_table.md", "cv_cases.csv", "cv_report.html", "dataset_report.html"),
    *("comparison_table.csv", "comparison_table.tex", "comparison_table.md", "comparison.md"),
    *("comparison_differences.csv", "comparison_ranks.csv", "labels.csv", "labels.md", "labels.tex", "cases.csv"),
    *("mean_dice.svg", "comparison_differences.svg", "gap.csv", "test labels.csv", "test labels.tex", "test cases.csv"),
)
RESULTS = ("cv_summary.json", "comparison.json")


def test_everything_that_is_exported_holds_down_to_masks_checkpoints_and_inputs(whole: Settings) -> None:
    files = exported_files(whole)
    assert {*TEXTS, *RESULTS, "cv_table.parquet", "cases.png", "evaluation.json"} <= set(files)

    found = verify(whole, list(files.values()), Silent())

    odd = {one.file: sentences(one) + sentences(one, "unknown") for one in found}
    assert not any(odd.values()), odd
    levels = {finding.level for finding in found[list(files).index("cv_table.tex")].findings}
    assert levels == {"file", "source", "scores", "masks", "checkpoints", "inputs"}


def test_a_copy_elsewhere_under_another_name_and_with_other_line_ends_holds(whole: Settings, tmp_path: Path) -> None:
    for number, name in enumerate(TEXTS):
        content = exported_files(whole)[name].read_bytes().decode()
        lines = content.replace("\r\n", "\n").replace("\n", "\r\n")
        copy = tmp_path / f"Table {number}"
        copy.write_text(lines, encoding="utf-8-sig", newline="")
        assert said_of(whole, copy).verdict == "holds", name


def spreadsheet(text: str) -> bytes:
    """Returns a CSV as a spreadsheet saves it where decimals have commas, with fewer of them."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    found = io.StringIO()
    writer = csv.writer(found, delimiter=";")
    writer.writerows([[_rounded(cell) for cell in row] for row in rows])
    return found.getvalue().encode("cp1252")


def _rounded(cell: str) -> str:
    return f"{float(cell):.15g}".replace(".", ",") if re.fullmatch(r"-?\d+\.\d+", cell) else cell


def test_a_csv_that_a_spreadsheet_saved_holds_and_is_said_to_have_other_bytes(whole: Settings, tmp_path: Path) -> None:
    for name in ("cv_table.csv", "cv_cases.csv", "comparison_table.csv", "labels.csv", "gap.csv"):
        text = exported_files(whole)[name].read_bytes().decode()
        copies = {
            "semicolons": spreadsheet(text),
            "unicode": text.replace(",", "\t").encode("utf-16"),
            "one column": "\r\n".join(f'"{line.replace(chr(34), chr(34) * 2)}"' for line in text.splitlines()).encode(),
        }
        for how, content in copies.items():
            file = tmp_path / "Mappe1.csv"
            file.write_bytes(content)
            found = said_of(whole, file)
            assert found.verdict == "holds", (name, how, sentences(found))
            assert "It was saved anew since it was made" in sentences(found, "holds")[0]
    assert "saved anew" not in sentences(said_of(whole, exported_files(whole)["cv_table.csv"]), "holds")[0]


def test_a_table_that_was_indented_and_broken_anew_holds(whole: Settings, tmp_path: Path) -> None:
    text = exported_files(whole)["cv_table.tex"].read_text()
    seal, _, table = text.partition("\n")
    file = tmp_path / "paper.tex"
    file.write_text(f"  {seal}\n" + table.replace("&", "\n      &").replace("\\toprule\n", "\\toprule % ours\n\t"))
    found = said_of(whole, file)
    assert found.verdict == "holds", sentences(found)
    assert "It was saved anew since it was made, with other bytes that say the same." in sentences(found, "holds")[0]


@pytest.mark.parametrize("name", ["cv_report.html", "mean_dice.svg"])
def test_a_page_whose_markup_was_written_anew_shows_the_same_and_may_draw_otherwise(
    whole: Settings, tmp_path: Path, name: str
) -> None:
    text = exported_files(whole)[name].read_text()
    file = tmp_path / name
    file.write_text(text.replace("<g", "\n <g ").replace("<td>", "<td >"))
    found = said_of(whole, file)
    assert found.verdict == "unknown", sentences(found)
    assert "whether it draws the same cannot be told" in sentences(found, "unknown")[0]


@pytest.mark.parametrize("name", ["cv_table.tex", "cv_table.md", "cv_table.csv", "labels.tex", "comparison_table.md"])
def test_what_an_older_version_made_without_a_digest_is_found_by_what_it_says(
    whole: Settings, tmp_path: Path, name: str
) -> None:
    text, ending = exported_files(whole)[name].read_text(), name.rpartition(".")[2]
    if ending == "csv":
        bare = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
    else:
        bare = opened_text(text, ending)[0]
    copy = tmp_path / name
    copy.write_text(bare)

    found = said_of(whole, copy)

    assert found.verdict == "holds"
    assert "it names no source: it was found by what it says" in sentences(found, "holds")[0]


@hypothesis_settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_other_digit_in_any_export_is_found(whole: Settings, tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(TEXTS))
    content = exported_files(whole)[name].read_bytes().decode()
    ending = name.rpartition(".")[2]
    carried = content.find("nnunet_assets: export=") if ending != "csv" else -1
    end = content.find("version=", carried)
    places = [
        place
        for place, letter in enumerate(content)
        if letter in "0123456789"
        and not (carried >= 0 and carried <= place <= end + 20)
        and not _in_source(content, place)
    ]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([one for one in "0123456789" if one != content[place]]))
    edited = tmp_path / name
    edited.write_text(content[:place] + digit + content[place + 1 :], encoding="utf-8", newline="")

    found = said_of(whole, edited)

    assert found.verdict == "changed", (name, content[max(0, place - 40) : place + 20])


def _in_source(content: str, place: int) -> bool:
    """Says whether a place is in the digest that a row of a CSV ends with."""
    start = content.rfind("sha256:", max(0, place - 71), place + 7)
    return 0 <= start <= place


def test_an_edited_cell_is_named_with_what_it_should_be(whole: Settings, tmp_path: Path) -> None:
    table = exported_files(whole)["cv_table.csv"].read_bytes().decode()
    edited = tmp_path / "table1.csv"
    edited.write_text(table.replace("organ,dice,0.5,", "organ,dice,0.6,", 1), newline="")
    found = said_of(whole, edited)
    assert "Label, organ, dice, mean_pooled is 0.6, and should be 0.5." in sentences(found)
    assert "differs in 1 cell or line from cv_table.csv" in sentences(found)[0]
    assert found.left_out == (QUICK,)


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("cv_summary.json", ('"mean": 0.5', '"mean": 0.7'), "is 0.7, and should be 0.5."),
        ("cv_summary.json", ('"n_epochs": 2', '"n_epochs": 3'), "n_epochs is 3, and should be 2."),
        ("comparison.json", ('"mean": 0.5', '"mean": 0.7'), "mean is 0.7, and should be 0.5."),
    ],
)
def test_an_edited_result_is_held_against_what_is_made_anew(
    whole: Settings, tmp_path: Path, name: str, edit: tuple[str, str], said: str
) -> None:
    text = exported_files(whole)[name].read_text()
    edited = tmp_path / "result"
    edited.write_text(text.replace(*edit, 1))
    assert any(said in sentence for sentence in sentences(said_of(whole, edited)))


def test_an_edited_copy_of_an_evaluation_is_measured_again_or_held_against_the_table_of_cases(
    whole: Settings, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.json"
    content = json.loads(exported_files(whole)["evaluation.json"].read_text())
    content["labels"]["organ"]["n_cases"] = 9
    copy.write_text(json.dumps(content))
    for quick in (False, True):
        assert "Labels.organ.n_cases is 9, and should be 8." in sentences(said_of(whole, copy, quick=quick))


def test_a_result_that_was_edited_where_it_lies_is_found_too(project: Settings) -> None:
    file = exported_files(project)["comparison.json"]
    file.write_text(file.read_text().replace('"mean": 0.5', '"mean": 0.7', 1))
    assert any("is 0.7, and should be 0.5." in sentence for sentence in sentences(said_of(project, file)))


def test_a_fold_that_was_trained_again_since_is_named(project: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "published.tex"
    shutil.copy(exported_files(project)["cv_table.tex"], copy)
    finish_fold(project.roots, EXPERIMENT, "fold_1", WHOLE, b"other")

    (before,) = [one for one in sentences(said_of(project, copy)) if one.startswith("fold_1")]
    make_summary(project.roots, EXPERIMENT, FOLDS)
    export_tables(project.roots, EXPERIMENT, ELSEWHERE)
    after = said_of(project, copy)

    assert "was trained or validated again since" in before
    assert any("It held when it was made" in one and "since then fold_1 was trained" in one for one in sentences(after))
    assert "made again from an earlier summary" in sentences(after, "holds")[0]
    assert said_of(project, exported_files(project)["cv_table.tex"]).verdict == "holds"
    stale = said_of(project, exported_files(project)["comparison_table.csv"])
    assert any("since then fold_1 was trained or validated again" in one for one in sentences(stale))
    make_comparison(project.roots, read_project(project.project), DATASET, project.places)
    assert said_of(project, exported_files(project)["comparison_table.csv"]).verdict == "holds"


def test_what_was_made_in_another_project_is_not_known_here_and_its_edits_are_seen(
    whole: Settings, project: Settings, tmp_path: Path
) -> None:
    shutil.rmtree(project.roots.results)
    files = exported_files(whole)
    table = said_of(project, files["cv_table.md"])
    assert table.verdict == "unknown"
    assert "is not in this project" in sentences(table, "unknown")[0]
    assert "It says what it said when" in sentences(table, "holds")[0]
    assert said_of(project, files["cv_table.csv"]).verdict == "unknown"
    assert said_of(project, files["cv_summary.json"]).verdict == "unknown"
    edited = tmp_path / "edited.md"
    edited.write_text(files["cv_table.md"].read_text().replace("0.500", "0.600", 1))
    assert said_of(project, edited).verdict == "changed"


def test_a_caption_of_the_users_own_is_no_difference_and_an_edited_one_is(whole: Settings, tmp_path: Path) -> None:
    from nnunet_assets.core.summary.summary_files import read_current_summary

    summary = read_current_summary(whole.roots, EXPERIMENT)
    file = tmp_path / "paper.tex"
    export_latex(summary, file, caption="Five of our 5 folds.", label="tab:ours")
    assert said_of(whole, file).verdict == "holds"
    file.write_text(file.read_text().replace("our 5", "our 4"))
    assert said_of(whole, file).verdict == "changed"


def test_the_choice_of_a_configuration_is_made_again(whole: Settings, tmp_path: Path) -> None:
    file = tmp_path / "best_configuration.json"
    found = find_best_configuration(whole, read_project(whole.project), DATASET, with_postprocessing=False).to_json()
    file.write_text(json.dumps(found))
    assert said_of(whole, file).verdict == "holds"
    found["candidates"][0]["mean"] += 0.001
    file.write_text(json.dumps(found))
    assert any("Candidates[0].mean is" in one for one in sentences(said_of(whole, file)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("torn.json", b'{"experiment": ', "cannot be read as a result as JSON"),
        ("other.json", b'{"a": 1}', "is a JSON file, and no result that this package writes"),
        ("torn.parquet", b"PAR1....", "cannot be read as a Parquet table: no Parquet"),
        ("torn.png", b"\x89PNG\r\n\x1a\n", "cannot be read as a PNG figure: it ends before its last chunk"),
        ("torn.csv", b'a,b,c\n"x,1', "cannot be read as a CSV table: no CSV"),
        ("odd.md", b"| \xff\xfe |", "cannot be read as a Markdown table"),
    ],
)
def test_what_is_torn_or_something_else_says_so(
    whole: Settings, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    found = said_of(whole, file)
    assert found.verdict == "changed"
    assert said in sentences(found)[0]


def test_what_is_no_export_at_all_is_refused_before_any_work(whole: Settings, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.csv"
    os.mkfifo(fifo)
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(b"x"))
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(300 << 20)
    for path, said in {
        tmp_path / "none.csv": "There is no file",
        tmp_path: "is a folder without model.json",
        fifo: "It is a pipe, a socket or a device",
        packed: "is of no kind that can be verified",
        huge: "no export of more than 268 MB is read",
    }.items():
        with pytest.raises(VerificationError, match=said):
            said_of(whole, path)


def test_a_table_of_something_else_is_not_known(whole: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("name,age,size\nx,3,4\ny,5,6\n")
    found = said_of(whole, file)
    assert found.verdict == "unknown"
    assert "carries no digest" in sentences(found, "unknown")[0]


def test_where_a_page_was_changed_is_shown_while_the_project_has_it(project: Settings, tmp_path: Path) -> None:
    page = exported_files(project)["cv_report.html"]
    edited = tmp_path / "page.html"
    edited.write_text(page.read_text().replace("<td>0.500", "<td>0.600", 1).replace("0.500 ±", "0.600 ±", 1))
    assert any(
        "0.600" in one and "and should be" in one and "0.500" in one for one in sentences(said_of(project, edited))
    )
    page.unlink()
    assert len(sentences(said_of(project, edited))) == 1


def test_tables_in_a_paper_are_verified_each_by_itself(whole: Settings, tmp_path: Path) -> None:
    files = exported_files(whole)
    tables = [files[f"{name}.tex"].read_text() for name in ("cv_table", "comparison_table")]
    paper = "\\documentclass{article}\nWe had 3 ideas.\n" + "See table 5.\n".join(tables) + "\\end{document}\n"
    file = tmp_path / "paper.tex"
    file.write_text(paper)
    found = said_of(whole, file)
    assert found.verdict == "holds"
    assert "a LaTeX table of the summary of" in found.what
    assert "a LaTeX table of the comparison of" in found.what
    file.write_text(paper.replace("0.500", "0.600", 1))
    assert said_of(whole, file).verdict == "changed"
    both = tmp_path / "README.md"
    both.write_text(files["cv_table.md"].read_text() + "\n" + files["labels.md"].read_text())
    assert said_of(whole, both).verdict == "holds"


def test_an_older_comparison_does_not_name_its_summaries(project: Settings) -> None:
    file = comparison_folder(project.roots, DATASET) / "comparison.json"
    content = load_json(file)
    del content["made_from"]
    file.write_text(json.dumps(content))
    assert said_of(project, file).verdict == "holds"
