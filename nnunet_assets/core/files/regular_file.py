"""Files are opened only where they are files: whoever opens a pipe may wait for ever, and a device keeps nothing."""

import errno
import os
import stat
from io import BufferedReader, FileIO, TextIOWrapper
from pathlib import Path


def refuse_what_never_ends(path: Path) -> None:
    """Passes where a path is a file, or a folder, which others open; a pipe is waited for, and a device has no end.

    Raises:
        OSError: It is a pipe, a socket or a device, or it is not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a folder fails by itself
        raise _no_file(path)


def _no_file(path: Path) -> OSError:
    return OSError(errno.EINVAL, "It is a pipe, a socket or a device, and no file", str(path))


def open_regular(path: Path) -> BufferedReader:
    """Opens a file to read its bytes.

    Raises:
        OSError: As `refuse_what_never_ends`, or it cannot be read.
    """
    return os.fdopen(_opened(path, os.O_RDONLY), "rb")


def open_to_append(path: Path) -> FileIO:
    """Opens a file to append bytes, unbuffered, and makes it where it is not there.

    Raises:
        OSError: As `refuse_what_never_ends`, or it cannot be written.
    """
    return FileIO(_opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def _opened(path: Path, flags: int) -> int:
    # A pipe opens without waiting for the other end, and is told by what is open: nothing is looked at twice.
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except BlockingIOError:  # a file server lends it to somebody, and takes it back for who waits
        refuse_what_never_ends(path)
        handle = os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe to write into, or a socket, at whose other end nobody is
            raise _no_file(path) from error
        raise
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        os.set_blocking(handle, True)  # who inherits it knows nothing of this
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise _no_file(path)


def read_regular(path: Path) -> bytes:
    """Returns the bytes of a file.

    Raises:
        OSError: As `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def regular_text(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Returns the text of a file, as `Path.read_text` does.

    Raises:
        OSError: As `open_regular`.
        UnicodeDecodeError: It is no such text.
    """
    with TextIOWrapper(open_regular(path), encoding, errors) as file:
        return file.read()
