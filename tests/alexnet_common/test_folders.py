"""Folders that are replaced: whatever moment a kill falls on, the old or the new one is there."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from alexnet_common import files, folders

# Replaces ROOT/N/out (argv[1]: ROOT) by a new folder in processes that are killed before their Nth
# call that touches a name, until one comes to its end. argv[2]: what the former folders hold;
# argv[3]: whether the system can exchange two names.
PROGRAM = """
import json, os, shutil, signal, sys
from alexnet_common import folders

root, former, has_exchange = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
left = 0

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

def replace(folder):
    os.mkdir, os.rename, os.unlink, os.rmdir = map(
        counted, (os.mkdir, os.rename, os.unlink, os.rmdir)
    )
    shutil.rmtree = remove  # The real one calls functions that cannot be counted.
    exchange = counted(folders._exchange)
    folders._exchange = exchange if has_exchange else lambda one, other: False
    with folders.atomic_folder(folder) as new:
        for name in ("one", "two"):
            with open(os.path.join(new, name), "w") as file:
                file.write("new")

def remove(folder, ignore_errors):
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)

status = None
for number in range(1, 100):
    folder = os.path.join(root, str(number), "out")
    os.makedirs(os.path.dirname(folder) if former is None else folder)
    for name, text in (former or {}).items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    child = os.fork()
    if child == 0:
        left = number
        replace(folder)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        break
sys.exit(status)
"""


def killed_everywhere(root, former, exchange):
    """The folders of PROGRAM by its N; the last one is that of the process that lived."""
    command = [sys.executable, "-c", PROGRAM, root, json.dumps(former), json.dumps(exchange)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [root / number / "out" for number in sorted(os.listdir(root), key=int)]


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None


def can_exchange(root):
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    return folders._exchange(str(root / "a"), str(root / "b"))


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("former", [{"one": "old", "three": "old"}, {}, None])
def test_a_kill_at_any_moment_leaves_the_former_or_the_new_folder(
    tmp_path, exchange, former, capfd
):
    if exchange and not can_exchange(tmp_path / "trial"):
        pytest.skip("this file system cannot exchange two names")
    new = {"one": "new", "two": "new"}
    *killed, finished = killed_everywhere(tmp_path / "killed", former, exchange)
    assert contents(finished) == new and len(list(finished.parent.iterdir())) == 1
    shown, recovered = [], []
    for folder in killed:
        shown.append(contents(folder))
        beside = len(list(folder.parent.iterdir())) - folder.exists()
        folders.recover(folder)
        recovered.append(contents(folder))
        assert len(list(folder.parent.iterdir())) == folder.exists()
        assert ("killed command" in capfd.readouterr().err) == (beside > 0)
        # Once more there is nothing to find, and nothing to say.
        folders.recover(folder)
        assert capfd.readouterr().err == ""
    # The former one up to a moment, the new one from then on; nothing in between only where the
    # system needs two steps.
    moment = recovered.index(new) if new in recovered else len(recovered)
    assert recovered == [former] * moment + [new] * (len(recovered) - moment)
    if former:
        assert 0 < moment < len(recovered)
        assert shown.count(None) == (0 if exchange else 1)
        # What was complete is put in place, not thrown away.
        assert exchange or recovered[shown.index(None)] == new


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "one").write_text("old")
    with pytest.raises(ZeroDivisionError), folders.atomic_folder(folder) as new:
        (pathlib.Path(new) / "one").write_text("new")
        _ = 1 / 0
    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    rename = os.rename

    def full(one, other):
        if str(other) == str(folder) and ".tmp-" in str(one) and not folder.exists():
            raise OSError(28, "No space left on device", one)
        rename(one, other)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left on device: .*/out'$"):
        with folders.atomic_folder(folder) as new:
            (pathlib.Path(new) / "one").write_text("new")
    assert contents(folder) == {"one": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_permissions_are_those_of_the_umask(tmp_path):
    for mask, expected in ((0o022, 0o755), (0o027, 0o750)):
        before = os.umask(mask)
        try:
            with folders.atomic_folder(tmp_path / oct(mask)):
                pass
        finally:
            os.umask(before)
        assert (tmp_path / oct(mask)).stat().st_mode & 0o777 == expected


def test_folders_of_others_are_left_alone(tmp_path, capfd):
    """Of a process that lives, of another machine, and a file that grows under such a name."""
    host = files.host_name()
    (tmp_path / f".out.tmp-{host}-{os.getpid()}-0123abcd").mkdir()
    (tmp_path / ".out.tmp-elsewhere-1-0123abcd").mkdir()
    (tmp_path / f".out.tmp-{host}-4194305-0123abcd").write_text("")  # Above any process number.
    names = sorted(path.name for path in tmp_path.iterdir())
    folders.recover(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert capfd.readouterr().err == ""
    (tmp_path / ".out.former-elsewhere-1-0123abcd").mkdir()
    folders.recover(tmp_path / "out")
    assert "out is not there, " in capfd.readouterr().err


def test_a_link_is_followed(tmp_path):
    place = tmp_path / "large_disk" / "place"
    place.mkdir(parents=True)
    (place / "one").write_text("old")
    link = tmp_path / "out"
    link.symlink_to(place)
    with folders.atomic_folder(link) as new:
        (pathlib.Path(new) / "two").write_text("new")
    assert link.is_symlink() and contents(place) == {"two": "new"}
    assert [path.name for path in place.parent.iterdir()] == ["place"]


def test_a_sudden_end_removes_what_grows(tmp_path):
    with folders.atomic_folder(tmp_path / "out"):
        assert len(list(tmp_path.iterdir())) == 1
        files.remove_unfinished()
        assert list(tmp_path.iterdir()) == []
        os.mkdir(next(iter(files.UNFINISHED)))
