"""The state folder: for whom it is, and what of it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub import state_folder


def test_a_new_folder_is_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state_folder.make(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert state_folder.complaint(tmp_path / "a" / "b") is None
    assert state_folder.complaint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("mode", [0o701, 0o740, 0o770, 0o777])
def test_a_folder_that_is_open_to_others_is_told_and_left(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    state_folder.make(tmp_path)
    assert state_folder.complaint(tmp_path) == f"{tmp_path} is open to others (mode {mode:o}): chmod 700 {tmp_path}"
    assert tmp_path.stat().st_mode & 0o777 == mode


def test_nobody_is_told_to_close_the_systems_own_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    told = state_folder.complaint(tmp_path)
    assert told is not None
    assert told.endswith("give the hub a folder of its own")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 10_002, -1)
    assert "belongs to another user (10002)" in str(state_folder.complaint(tmp_path))
    os.chown(tmp_path, 0, 10_001)
    tmp_path.chmod(0o2775)  # a volume of Kubernetes, as the hub's own user sees it
    monkeypatch.setattr(os, "geteuid", lambda: 10_001)
    assert state_folder.complaint(tmp_path) is None
    tmp_path.chmod(0o777)
    assert "is open to others" in str(state_folder.complaint(tmp_path))


def test_only_a_regular_file_of_some_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    assert state_folder.read(file, 10) == b"0123456789"
    with pytest.raises(OSError, match="over 9 bytes"):
        state_folder.read(file, 9)
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError, match="no regular file"):
            state_folder.read(tmp_path / name, 10)
    with pytest.raises(OSError, match="no regular file"):
        state_folder.read(Path("/dev/zero"), 10)
    with pytest.raises(FileNotFoundError):
        state_folder.read(tmp_path / "none", 10)


def test_a_pipe_that_came_after_the_look_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(state_folder, "is_regular", lambda _: True)
    with pytest.raises(OSError, match="no regular file"):
        state_folder.read(tmp_path / "pipe", 10)
