# SPDX-License-Identifier: Apache-2.0
"""A pool's directory is the one it was: not what is below a mount that is gone, not another pool's by another name, and on a disk. Mounts are made and read with
mount(8), what stands where with stat."""
import json
import os
import shutil
import sqlite3

import pytest

from harness import wait_until
from test_pools import loop, message, pool, sh, volume  # noqa: F401

pytestmark = pytest.mark.needs("losetup", "mkfs.ext4", "qemu-img", "/dev/loop-control")
OTHER = "is not the directory that this Pool has used so far"


@pytest.fixture
def place(loop, tmp_path):  # noqa: F811
    """A directory that a filesystem is mounted on, and functions that mount and unmount it."""
    disk, where = loop("ext4"), tmp_path / "disk-here"
    where.mkdir()

    class Place:
        directory = where / "images"

        @staticmethod
        def mount():
            sh(f"mount {disk.device} {where}")

        @staticmethod
        def umount():
            sh(f"umount {where}")
    Place.mount()
    yield Place
    sh(f"umount {where}", check=False)


@pytest.fixture
def host(place, make_host):  # after place, so that it goes first
    return make_host(own_mounts=False)


@pytest.mark.parametrize("ours", [False, True], ids=["found", "made"])
def test_what_is_below_a_mount_that_is_gone_is_not_the_pool(host, place, ours):
    if not ours:
        place.directory.mkdir(mode=0o711)
    text = pool(f"type: dir, path: {place.directory}")
    host.apply(text + volume("size: 8MiB"), "--wait=20s")
    host.restart()
    host.wait_ready("volume", "web")
    place.umount()
    place.directory.mkdir(mode=0o711)
    for again in (False, True):
        if again:
            host.restart()
        host.apply(text + volume("size: 8MiB") + volume("size: 8MiB", "new"), "--wait=2s", check=False)
        wait_until(lambda: OTHER in message(host, "pool", "data"), 90)
        assert os.listdir(place.directory) == [], "nothing is made there"
    place.directory.rmdir()
    place.mount()
    host.weft("apply", "-f", host.scratch / "manifest.yaml", "--wait=120s")
    assert sorted(name for name in os.listdir(place.directory) if name[0] != ".") == ["new.qcow2", "web.qcow2"]
    # Told so, another one is used from now on.
    host.delete_all()
    shutil.rmtree(place.directory)
    place.directory.mkdir(mode=0o711)
    host.apply(text + volume("size: 8MiB"), "--wait=20s")
    assert (place.directory / "web.qcow2").exists()
    host.delete_all()


def test_which_directory_it_is_makes_no_revision(host, place):
    bridge = "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br7}\nspec: {}\n"
    host.apply(bridge, "--wait=20s")
    host.apply(bridge + "---\n" + pool(f"type: dir, path: {place.directory}"), "--wait=20s")
    host.restart()
    assert [row["revision"] for row in host.weft("history", "-o", "json").json()] == [2, 1]
    host.weft("rollback")
    assert not host.objects("pool") and host.objects("bridge")
    wait_until(lambda: not place.directory.exists(), 20)


def age(database, place):
    """The store as an earlier weft wrote it, to which a Pool's directory was a fact of its revision and no part of its record."""
    store = sqlite3.connect(database)
    identity = store.execute("SELECT identity FROM record WHERE class = 'pool'").fetchone()[0].split()[0]
    store.execute("UPDATE record SET identity = NULL")
    for revision, lines in store.execute("SELECT rev, lines FROM generation").fetchall():
        lines = [json.loads(line) for line in lines.splitlines()]
        for line in lines:
            if line.get("class") == "pool":
                line["spec"]["identity"] = identity
        lines += [{"alloc": ["Pool/data", "pool-identity", "identity", identity]},
                  {"fact": f"pool-identity/{place}", "value": identity, "reader": "Pool/data"}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        store.execute("UPDATE generation SET lines = ? WHERE rev = ?", (text.encode(), revision))
    store.commit()
    store.close()


def test_what_an_earlier_weft_knew_is_still_known(host, place):
    place.directory.mkdir(mode=0o711)
    text = pool(f"type: dir, path: {place.directory}")
    host.apply(text + volume("size: 8MiB"), "--wait=20s")
    host.stop()
    age(host.root / "lib/weft.db", place.directory)
    place.umount()
    place.directory.mkdir(mode=0o711)
    host.start()
    for again in (False, True):
        wait_until(lambda: OTHER in message(host, "pool", "data"), 90)
        host.apply(text + volume("size: 8MiB") + volume("size: 8MiB", "new"), "--wait=2s", check=False)
        assert os.listdir(place.directory) == [], "nothing is made there"
        if not again:
            host.restart()
    place.directory.rmdir()
    place.mount()
    host.weft("apply", "-f", host.scratch / "manifest.yaml", "--wait=120s")
    rows = host.weft("history", "-o", "json").json()
    host.restart()
    host.wait_ready("pool", "data")
    host.weft("diff")
    assert host.weft("history", "-o", "json").json() == rows
    host.delete_all()


def test_one_directory_by_two_names_is_one_pool(host, place):
    place.directory.mkdir(mode=0o711)
    alias = host.root / "alias"
    alias.symlink_to(place.directory)
    host.apply(pool(f"type: dir, path: {place.directory}"), "--wait=20s")
    host.apply(pool(f"type: dir, path: {alias}", "second") + volume("size: 8MiB", pool="second"), "--wait=2s", check=False, name="second.yaml")
    wait_until(lambda: "is the same directory as that of Pool" in message(host, "pool", "second"), 20)
    assert host.ready("pool", "data")
    assert os.listdir(place.directory) == []
    host.delete_all()


def test_a_pool_is_not_on_a_filesystem_of_the_kernel(host):
    for path in ("/proc", "/sys"):
        host.apply(pool(f"type: dir, path: {path}"), check=False)
        wait_until(lambda: "filesystem of the kernel's own" in message(host, "pool", "data"), 20)
        host.weft("delete", "pool", "data", "--wait=20s")


def test_a_directory_that_became_a_link_stays(host, place):
    host.apply(pool(f"type: dir, path: {place.directory}"), "--wait=20s")
    away = place.directory.with_name("elsewhere")
    place.directory.rename(away)
    place.directory.symlink_to(away)
    host.weft("delete", "pool", "data", "--wait=20s")
    assert place.directory.is_symlink() and away.is_dir()
