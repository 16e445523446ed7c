"""Files that are not what a declaration should be: broken, hostile, or read by YAML in its own way."""

from pathlib import Path

import pytest

from nnunet_assets.declarations.yaml_files.yaml_source import MAX_BYTES, read_documents
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "1: the file declares nothing, which Dagster refuses. Declare something, or delete it."),
        ("# only a comment\n", "1: the file declares nothing, which Dagster refuses. Declare something, or delete it."),
        (
            "- 1\n",
            "1: a declaration is a block with `type: ...`, and `attributes:` with its fields indented below it. Remove "
            "the `- ` before it, and put a line `---` between declarations.",
        ),
        ("a: 1\nb: [1\nc: 2\n", "2: the bracket [ that opens here is not closed. Write `b: [1]`."),
        ("a: 1\n\tb: 2\n", "2: the line begins with a tab. Indent with spaces, two for each level: `b: 2`."),
        ("a: *b\n", '1: text that begins with * needs quotes. Write `a: "*b"`.'),
        (
            "a: \0\n",
            "1: the line holds U+0000, a control character. Write the line anew.",
        ),
        # No known slip: YAML's own words, and what a line looks like.
        (
            "a: 1\n]\n",
            "2: the file is not YAML: while parsing a block mapping, did not find expected key. Each line is a name, a "
            "colon, a space and a value; what belongs to it is indented by two spaces more.",
        ),
        (
            "a: 1\nb: !!python/object/apply:os.system [ls]\n",
            "2: the YAML tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed. Write plain values: "
            "text, numbers, lists, blocks. Text that begins with an exclamation mark needs quotes.",
        ),
        (
            "a: !env HOME\n",
            "1: the YAML tag '!env' is not allowed. Write plain values: text, numbers, lists, blocks. Text that begins "
            "with an exclamation mark needs quotes.",
        ),
        (
            "a: !!int abc\n",
            "1: a value of this document cannot be read: invalid literal for int() with base 10: 'abc'.",
        ),
    ],
)
def test_what_is_no_definitions_file_is_refused_with_its_line(tmp_path: Path, text: str, error: str) -> None:
    assert errors_of(tmp_path, {"defs.yaml": text}) == [f"defs.yaml:{error}"]


def test_an_empty_document_is_named(tmp_path: Path) -> None:
    assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, "")}) == [
        "defs.yaml:5: the document is empty, which Dagster refuses. Remove its line `---`."
    ]


def test_errors_before_a_broken_document_are_reported_too(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, {"defs.yaml": documents(DATASET + "  folds: 0\n", "a: [\n")})

    assert [error.split(": ")[0] for error in errors] == ["defs.yaml:4", "defs.yaml:7"]


class TestBombs:
    def test_aliases_of_aliases(self, tmp_path: Path) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

        assert errors_of(tmp_path, {"defs.yaml": "\n".join(lines)}) == [
            "defs.yaml:1: the file stands for more than 100,000 values. Write it without aliases (*name)."
        ]

    def test_an_alias_of_itself(self, tmp_path: Path) -> None:
        (error,) = errors_of(tmp_path, {"defs.yaml": "a: &a [*a]\n"})

        assert "stands for more than 100,000 values" in error

    def test_brackets_that_would_end_the_interpreter(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"defs.yaml": "a:\n  " + "[" * 100_000}) == [
            "defs.yaml:2: lists and blocks are nested more than 50 deep here."
        ]

    def test_a_large_file(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"defs.yaml": "# " + "x" * MAX_BYTES}) == [
            "defs.yaml:1: the file is larger than 1,000,000 bytes. Split it into several folders."
        ]


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")

    found, problems = read_documents(path)

    assert found == []
    assert [(problem.line, problem.sentence) for problem in problems] == [
        (2, "byte 11 is not UTF-8. Save the file as UTF-8.")
    ]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "defs.yaml").mkdir()

    _, problems = read_documents(tmp_path / "defs.yaml")

    assert problems[0].sentence == "the file cannot be read: Is a directory."


def test_a_date_stays_text_as_it_does_in_dagster(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text("description: 2024-01-31\n")

    (document,), _ = read_documents(path)

    assert document.value == {"description": "2024-01-31"}


def test_the_line_of_what_an_alias_brought_is_where_it_stands(tmp_path: Path) -> None:
    text = EXPERIMENT + "  <<: &more\n    device: gpu\n"

    assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, text)}) == [
        "defs.yaml:10: attributes.device: gpu is not allowed. Did you mean cuda? Allowed: auto, cuda, cpu, mps."
    ]
