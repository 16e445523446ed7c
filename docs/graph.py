"""Draws the asset graph of the README as `graph.svg`, for pages that load no script: `python docs/graph.py`.

The README's diagram is held against the graph itself by a test, and the picture against that diagram by another.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PICTURE = Path(__file__).with_name("graph.svg")
README = Path(__file__).parents[1] / "README.md"
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 168, 46, 184, 92, 16
COLOURS = {"a dataset": ("#e0f2f1", "#00695c"), "an experiment on it": ("#fff3e0", "#b25c00")}
"""By what an asset belongs to: its fill and its border."""


def picture() -> str:
    """Returns the SVG."""
    (diagram,) = re.findall(r"^```mermaid\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    edges = re.findall(r"^ +(\w+) --> (\w+)$", diagram, re.M)
    colours, texts = {}, {}
    for owner, inner in re.findall(r'subgraph \w+\["(.*?)"\]\n(.*?)^ +end$', diagram, re.M | re.S):
        for name, text in re.findall(r'^ +(\w+)\["<b>\1</b><br>(.*?)"\]', inner, re.M):
            colours[name], texts[name] = COLOURS[owner], text
    places = _places(list(texts), edges)
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<title>The asset graph</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        '<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#78909c"/></marker>',
    )
    arrows = [_arrow(places[source], places[target]) for source, target in edges]
    boxes = [_box(name, texts[name], places[name], colours[name]) for name in texts]
    return "\n".join([*head, *arrows, *boxes, "</svg>\n"])


def _places(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> Mapping[str, tuple[int, int]]:
    """Returns where the boxes begin: below all that they depend on, a row in the middle of the widest one."""
    rows: dict[str, int] = dict.fromkeys(names, 0)
    for _ in names:
        for source, target in edges:
            rows[target] = max(rows[target], rows[source] + 1)
    by_row = [[name for name in names if rows[name] == row] for row in range(max(rows.values()) + 1)]
    widest = max(len(row) for row in by_row)
    return {
        name: (MARGIN + (widest - len(row)) * ACROSS // 2 + n * ACROSS, MARGIN + rows[name] * DOWN)
        for row in by_row
        for n, name in enumerate(row)
    }


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    x, y = source[0] + WIDTH // 2, source[1] + HEIGHT
    to_x, to_y = target[0] + WIDTH // 2, target[1] - 2
    bend = (to_y - y) // 2
    path = f"M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"
    return f'<path d="{path}" fill="none" stroke="#78909c" stroke-width="1.3" marker-end="url(#end)"/>'


def _box(name: str, text: str, place: tuple[int, int], colours: tuple[str, str]) -> str:
    x, y = place
    middle, (fill, border), short = x + WIDTH // 2, colours, text if len(text) <= 26 else text.partition(", ")[0]
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{fill}" stroke="{border}"/>'
        f'<text x="{middle}" y="{y + 20}" text-anchor="middle" font-size="14" font-weight="bold" fill="#1b2a2f">'
        f"{name}</text>"
        f'<text x="{middle}" y="{y + 37}" text-anchor="middle" font-size="10.5" fill="#37474f">{short}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
