"""The folder of what outlives a restart, and its files: regular ones, for this user alone.

A link or a pipe that stands in a file's place is never opened: the one leads elsewhere, the other never answers.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def make(folder: Path) -> None:
    """Make the folder, for this user alone, if there is none. One that is there keeps its rights: see ``complaint``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def complaint(folder: Path) -> str | None:
    """Return what is wrong with the rights of a folder that is there; None where nothing is.

    Others who can write there can put into it what the hub reads at its start. A folder of another owner, who gave this
    user the right to write (a volume of Kubernetes, by its group), is closed to the world at least.
    """
    try:
        found = folder.stat()
    except OSError:
        return None  # none yet; who writes to it will say why it can't be made
    mode = stat.S_IMODE(found.st_mode)
    ours = found.st_uid == os.geteuid()
    if not ours and found.st_uid != 0:
        return f"{folder} belongs to another user ({found.st_uid}): give the hub a folder of its own"
    if mode & stat.S_IWOTH or (ours and mode & 0o077):
        mend = "give the hub a folder of its own" if mode & stat.S_ISVTX else f"chmod 700 {folder}"  # as /tmp is
        return f"{folder} is open to others (mode {mode:o}): {mend}"
    return None


def is_regular(path: Path) -> bool | None:
    """Tell whether a file is one, and no link to one; None where there is nothing."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file. Raises ``OSError``, also for one that is larger, or no regular file."""
    if is_regular(path) is False:
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    # not blocking, in case it became a pipe since
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(most_bytes + 1) if found.st_size <= most_bytes else b""
        if found.st_size > most_bytes or len(content) > most_bytes:
            raise OSError(errno.EFBIG, f"it has over {most_bytes} bytes", str(path))
        return content


def own(path: Path) -> None:
    """Begin an empty file, for this user alone, if there is none; of one of ours, take the rights of others away."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    try:
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
