"""Which version follows the champion: looked at, judged and written by one process of this machine at a time.

MLflow cannot be told to give an alias only where it still is what was seen: whoever writes last has it. So two versions
that are judged at once would both be compared with the champion before them, and one would take the place of the other
without having been compared with it. On one machine a lock keeps them apart. Other machines that write to the same
server are met by looking again, just before the alias is written and after it: whoever became champion meanwhile is
what the version is judged against next. What is left is the moment between that look and the writing, some thousandths
of a second: two machines that both write within it have both judged against the champion before, and the last one
stays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nnunet_assets.core.model.model_address import CHAMPION
from nnunet_assets.core.registry.gate import Verdict, passes
from nnunet_assets.tracking.registry.registration import move_alias
from nnunet_assets.tracking.registry.registry_lock import held, lock_of_model
from nnunet_assets.tracking.registry.versions import RegisteredVersion, list_versions
from nnunet_assets.tracking.store.destination import Destination

ATTEMPTS = 5
"""How often a version is judged anew where other machines name champions meanwhile."""

_WAIT_SECONDS = 600.0
"""How long to wait for others who decide: a judgement takes seconds, of thousands of cases."""


@dataclass(frozen=True)
class Succession:
    """What became of a version that may be the champion.

    Attributes:
        verdicts: On it, the last one against `before`.
        before: The champion that it was judged against; None: there was none.
        is_champion: Whether it is the champion now, be it that it was before.
    """

    verdicts: tuple[Verdict, ...]
    before: RegisteredVersion | None
    is_champion: bool


@contextmanager
def deciding(destination: Destination, name: str) -> Iterator[None]:
    """Holds what decides on a model's champion alone, as far as this machine decides.

    Raises:
        TrackingError: Another process does not give it free.
    """
    lock = lock_of_model(destination, name)
    with held(lock, _WAIT_SECONDS, f"decides on the champion of {name!r}"):
        yield


def champion_of(destination: Destination, name: str) -> RegisteredVersion | None:
    """Returns the champion of a model; None: it has none.

    Raises:
        TrackingError: The registry does not answer.
    """
    return next((one for one in list_versions(destination, name) if CHAMPION in one.aliases), None)


def succeed(
    destination: Destination,
    name: str,
    version: int,
    judge: Callable[[RegisteredVersion | None], Sequence[Verdict]],
    *,
    may_be_older: bool = False,
) -> Succession:
    """Makes a version the champion where it passes every rule; the caller holds `deciding`.

    Args:
        destination: Whose registry.
        name: Of the model.
        version: Its number.
        judge: Returns the verdict on every rule, against a champion, or against none.
        may_be_older: Whether it may follow a champion of a higher number, as a person may say.

    Raises:
        TrackingError: The registry does not answer, or refuses the alias.
    """
    for _ in range(ATTEMPTS):
        before = champion_of(destination, name)
        verdicts = tuple(judge(before))
        if before is not None and before.version == version:
            return Succession(verdicts, before, is_champion=True)
        is_older = before is not None and before.version > version
        if not passes(verdicts) or (is_older and not may_be_older):
            return Succession(verdicts, before, is_champion=False)
        seen = before.version if before else None
        if move_alias(destination, name, CHAMPION, version, seen=seen) == version:
            return Succession(verdicts, before, is_champion=True)
    named = Verdict(
        "not_inferior",
        False,
        f"Other machines named a champion {ATTEMPTS} times while this version was judged. Promote it, or register it "
        "again, when they are done.",
    )
    return Succession((*(one for one in verdicts if one.rule != named.rule), named), before, is_champion=False)
