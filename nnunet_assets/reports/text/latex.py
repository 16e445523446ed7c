r"""The frame of a LaTeX table: caption, label, `booktabs` rules and notes around cells that are escaped already.

A document that shows one loads `booktabs` and need load nothing else. Where it loads siunitx too, that formats the
numbers: each stands in a `\num`. There is no `S` column: it takes no interval and no quartiles, and with three decimals
everywhere nothing is left to align.
"""

import re
from collections.abc import Iterable, Sequence

from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.text.escaping import escape_latex


def latex_table(
    *tabulars: Sequence[str],
    caption: str,
    label: str | None,
    notes: Iterable[str],
    is_small: bool = False,
) -> str:
    r"""Returns a `table` environment.

    Args:
        tabulars: What `tabular` returned, one below the other.
        caption: Plain text; LaTeX in it is shown, not run.
        label: For `\ref`. None: no label.
        notes: Plain text, below the tables.
        is_small: Sets it in a smaller size.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    if label is not None and not re.fullmatch(r"[A-Za-z0-9:._/+-]+", label):
        raise ConfigError(
            f"{label!r} cannot be a LaTeX label. Use letters, digits and : . _ / + - only, such as tab:hippocampus."
        )
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        r"  \providecommand{\num}[1]{#1}",
        r"  \ifdefined\sisetup\sisetup{detect-weight}\fi",
        *([r"  \small"] if is_small else []),
        rf"  \caption{{{escape_latex(caption)}}}",
        *([rf"  \label{{{label}}}"] if label else []),
        *(line for tabular_lines in tabulars for line in (*tabular_lines, "", r"  \medskip")),
        r"  \begin{minipage}{\linewidth}",
        r"    \footnotesize",
        *(f"    {escape_latex(note)}" for note in notes),
        r"  \end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def tabular(columns: str, header: Iterable[str], *groups: Iterable[Iterable[str]]) -> list[str]:
    """Returns the lines of a `tabular` environment.

    Args:
        columns: Their alignment, as LaTeX has it: `lcr`.
        header: Whole lines of LaTeX.
        groups: Rows of cells; a rule stands before each group.
    """
    lines = [r"\toprule", *header]
    for rows in groups:
        lines += [r"\midrule", *map(latex_row, rows)]
    inner = [*lines, r"\bottomrule"]
    return [rf"  \begin{{tabular}}{{{columns}}}", *(f"    {line}" for line in inner), r"  \end{tabular}"]


def latex_row(cells: Iterable[str]) -> str:
    """Returns a row of cells that are escaped already."""
    return rf"{' & '.join(cells)} \\"


def escaped_rows(rows: Iterable[Iterable[str]]) -> list[list[str]]:
    """Returns rows of plain text as rows of LaTeX; the first cell is a name, numbers are in the others."""
    return [[escape_latex(name), *map(escaped_number, cells)] for name, *cells in rows]


def escaped_number(text: str) -> str:
    r"""Returns LaTeX of a cell such as `0.871 ± 0.012`: `\num{0.871} $\pm$ \num{0.012}`."""
    return re.sub(r"(?<![\w.])-?\d+\.\d+(?:e-?\d+)?(?!\w)", r"\\num{\g<0>}", escape_latex(text))
