"""What holds for every page, whatever it shows."""

import re


def check_page_of_nasty_names(page: str) -> None:
    """Passes where names are text, no name is run, and nothing is asked of a network."""
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "default-src 'none'" in page
