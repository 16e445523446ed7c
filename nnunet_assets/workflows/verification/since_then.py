"""What happened since a result was published that is not the current one any more, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnunet_assets.errors import first_offenders
from nnunet_assets.workflows.verification.known_results import KnownResult


def since_then(earlier: KnownResult, known: Sequence[KnownResult]) -> str:
    """Returns what is different between a result that was kept and the one that lies in its place.

    Args:
        earlier: That was made anew since.
        known: The project's results.
    """
    now = next((one for one in known if one.file == earlier.file and one.is_current), None)
    held = f"It held when it was made, of {earlier.title}"
    if now is None:
        return f"{held}; since then {earlier.file} was taken away."
    if earlier.kind == "cv_summary":
        changes = _folds(_commits(earlier.content), _commits(now.content))
    elif earlier.kind in ("comparison", "best_configuration"):
        changes = _experiments(
            *(one.content.get("made_from") or one.content.get("made_of") or {} for one in (earlier, now))
        )
    else:
        changes = []
    return f"{held}; since then {' and '.join(changes) or 'it was made anew, and says something else'}."


def _commits(content: Mapping[str, Any]) -> dict[str, str | None]:
    return {str(one["fold"]): one.get("commit_sha256") for one in content.get("folds", [])}


def _folds(then: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[str]:
    again = [fold for fold, commit in then.items() if fold in now and now[fold] != commit]
    return _changes(
        (again, "was trained or validated again", "were trained or validated again"),
        ([fold for fold in now if fold not in then], "was finished", "were finished"),
        ([fold for fold in then if fold not in now], "was taken away", "were taken away"),
    )


def _experiments(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    again = [name for name, digest in then.items() if name in now and now[name] != digest]
    return _changes(
        (again, "was summarized anew", "were summarized anew"),
        ([name for name in now if name not in then], "came in", "came in"),
        ([name for name in then if name not in now], "was left out", "were left out"),
    )


def _changes(*kinds: tuple[Sequence[str], str, str]) -> list[str]:
    return [f"{first_offenders(names)} {one if len(names) == 1 else many}" for names, one, many in kinds if names]
