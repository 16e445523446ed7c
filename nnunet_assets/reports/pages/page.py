"""HTML pages that stand alone: no network, nothing beside them, light and dark, fit to print.

What users wrote is escaped by jinja2. The one script sorts tables and is named by its digest in the page's policy, so
that no other can run.
"""

import base64
import hashlib
from typing import Any

from nnunet_assets.core.text.places import Places

_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const key = (row, i) => row.cells[i].dataset.key ?? row.cells[i].textContent;
  heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.ariaSort = sign > 0 ? "ascending" : "descending";
    const compare = (a, b) => a - b || String(a).localeCompare(String(b), undefined, { numeric: true });
    body.append(...[...body.rows].sort((a, b) => sign * compare(key(a, i), key(b, i))));
  }));
}
"""


def render_page(template: str, places: Places, **values: Any) -> str:
    """Returns a page of `templates`, which extends `page.html.j2`; no absolute path is on it.

    Args:
        template: The template's name.
        places: Folders whose place is not to be on the page.
        values: For the template.
    """
    # Comes with Dagster and MLflow; its import costs what no load of the definitions should.
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("nnunet_assets.reports.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever a page is given to say goes through here, so that nobody has to think of it elsewhere.
        finalize=lambda value: places.hidden(value) if _is_text(value) else value,
    )
    return environment.get_template(template).render(
        **values,
        script=Markup(_SCRIPT),  # noqa: S704 (a constant of this file)
        script_hash=f"sha256-{digest}",
    )


def _is_text(value: Any) -> bool:
    """Says whether a value is for people: not a script of ours, nor a file within the page."""
    return type(value) is str and not value.startswith("data:")


def data_uri(content: bytes, kind: str) -> str:
    """Returns a file as an address that holds it; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
