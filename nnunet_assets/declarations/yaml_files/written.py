"""A declaration as a file that a person may go on editing."""

from collections.abc import Mapping
from typing import Any

import yaml


def declaration_text(kind: str, attributes: Mapping[str, Any], remark: str = "") -> str:
    """Returns a document that declares something.

    Args:
        kind: What `type` says.
        attributes: Field to value, in the order in which they are to stand.
        remark: What stands above it, for people.
    """
    lines = [f"# {line}".rstrip() for line in remark.splitlines()]
    content = yaml.safe_dump(
        {"type": kind, "attributes": dict(attributes)}, sort_keys=False, allow_unicode=True, width=100
    )
    return "\n".join([*lines, content])
