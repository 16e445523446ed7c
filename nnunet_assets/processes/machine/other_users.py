"""Who else is at work on this machine: whoever is reaches what listens on its loopback."""

import os
import pwd
from contextlib import suppress

import psutil

FIRST_PERSON = 1000
"""Lower numbers of users are those of services, on every common Linux."""


def other_users() -> list[str]:
    """Returns the people beside this process's user who have a session or a process here, sorted.

    Where the system hides others' processes, only sessions tell; a container knows nobody but its own.
    """
    names = {user.name for user in psutil.users()}
    for process in psutil.process_iter():
        with suppress(psutil.Error, KeyError):
            uid = process.uids().real
            if FIRST_PERSON <= uid < 65534:  # 65534 is nobody
                names.add(pwd.getpwuid(uid).pw_name)
    return sorted(names - {_own_name(), "root"})


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have none
        return ""
