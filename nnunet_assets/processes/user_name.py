"""Whose process this is."""

import os
import pwd


def user_name() -> str:
    """Returns whose process this is, not whom the environment names; in a container the user may have no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
