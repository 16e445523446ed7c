"""Files that other systems leave beside the user's own, and that nnU-Net takes for images where their names end so.

macOS writes `._NAME` beside every NAME on drives of other systems; nnU-Net counts each as a case of its own.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from nnunet_assets.errors import first_offenders

_DROPPINGS = re.compile(
    r"""
    \..*                                 # hidden: ._NAME, .DS_Store, .nfs0123, .~lock.NAME#, .ipynb_checkpoints
    | ~\$.* | .*~ | \#.*\#               # what editors and office programs leave while a file is open, or keep of it
    | (eh)?thumbs(_vista)?\.db | desktop\.ini | icon\r | .*:zone\.identifier
    | @eadir | .*@syno(eastream|resource) | [\#@]recycle | \$recycle\.bin | system\ volume\ information
    | __macosx | network\ trash\ folder | temporary\ items | lost\+found
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

_OF_MACOS = re.compile(r"\._|\.DS_Store$")


def is_dropping(name: str) -> bool:
    """Tells whether a file or folder of this name is no part of a dataset. Without a name, it is none."""
    return _DROPPINGS.fullmatch(name) is not None


def droppings_in(folders: Iterable[Path], ending: str) -> list[str]:
    """Returns what other systems left in folders and somebody might take for a part of the data: `imagesTr/._a.nii.gz`.

    What a person hid, and nobody takes for an image, is no news: `.gitignore`.

    Args:
        folders: Those to look into, not deeper; need not be there.
        ending: Of the images.
    """
    return [
        f"{folder.name}/{path.name}"
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if is_dropping(path.name)
        and (path.name.endswith(ending) or not path.name.startswith(".") or _OF_MACOS.match(path.name))
    ]


def passed_over(names: Sequence[str], also_by: str = "") -> str:
    """Returns the one sentence about files that other systems left."""
    subject = "1 file that other systems leave" if len(names) == 1 else f"{len(names)} files that other systems leave"
    verb = "is" if len(names) == 1 else "are"
    return f"{subject} beside one's own {verb} passed over{also_by}: {first_offenders(names)}."
