"""Files that other systems leave beside the user's own, and that nnU-Net takes for images where their names end so.

macOS writes `._NAME` beside every NAME on drives of other systems; nnU-Net counts each as a case of its own.
"""

import re

_DROPPINGS = re.compile(
    r"""
    \..*                                 # hidden: ._NAME, .DS_Store, .nfs0123, .~lock.NAME#
    | ~\$.* | .*~ | \#.*\#               # what editors and office programs leave while a file is open, or keep of it
    | (eh)?thumbs\.db | desktop\.ini | icon\r
    | @eadir | \$recycle\.bin | system\ volume\ information | __macosx | lost\+found
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def is_dropping(name: str) -> bool:
    """Tells whether a file or folder of this name is no part of a dataset. Without a name, it is none."""
    return _DROPPINGS.fullmatch(name) is not None
