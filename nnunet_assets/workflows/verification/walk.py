"""How far the verification of a file walks, and what was found on the way already: several results rest on the same."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.verification.findings import Finding


@dataclass(frozen=True)
class Walk:
    """How far to walk, and with what.

    Attributes:
        roots: nnU-Net's folders.
        trusted: What plans may name beside nnU-Net's own code.
        progress: Told how far it is.
        is_quick: Whether masks and raw data are left out.
        done: What was found already, by what was looked at.
    """

    roots: Roots
    trusted: frozenset[str]
    progress: Progress
    is_quick: bool
    done: dict[str, list[Finding]] = field(default_factory=dict)

    def once(self, what: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """Returns what is found; who asks again for the same gets it without a second look."""
        if what not in self.done:
            self.done[what] = list(look())
        return self.done[what]
