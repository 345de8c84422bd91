# SPDX-License-Identifier: Apache-2.0
"""What cannot go back, growth and deletion of a Volume, is done only once the revision is final: until then, and when it is undone by whatever means, the
bytes are what they were. On images; those of logical volumes are in test_pool_lvm.py."""
import os
import signal
import time

import pytest

from harness import wait_until
from test_guest import add_image
from test_volumes import MIB, POOL, images, info, sh, sum_of, volume

pytestmark = pytest.mark.needs("qemu-img", "qemu-io")
BEFORE = POOL + volume("grows", "size: 8MiB, reclaim: delete") + volume("goes", "size: 8MiB, format: raw, reclaim: delete") \
    + volume("stays", "size: 8MiB")
AFTER = POOL + volume("grows", "size: 16MiB, reclaim: delete") + volume("comes", "size: 4MiB")
GUEST = """---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 32MiB}, shutdownTimeout: 1s, disks: [{file: tiny.img}, {volume: grows}]}
"""


def seen(host):
    """{file: (its inode, the disk's size, its bytes)}"""
    return {path.name: (path.stat().st_ino, info(path, path.suffix[1:])["virtual-size"], sum_of(path)) for path in images(host).iterdir()
            if not path.name.startswith(".")}


def sizes(host):
    return {path.name: info(path, path.suffix[1:])["virtual-size"] // MIB for path in images(host).iterdir() if not path.name.startswith(".")}


def begin(host):
    """The Volumes with something in them, as seen."""
    host.apply(BEFORE, "--wait=30s")
    sh(f"cd {images(host)} && qemu-io -f qcow2 -c 'write -P 65 0 64k' grows.qcow2 && qemu-io -f raw -c 'write -P 66 0 64k' goes.raw")
    return seen(host)


def is_waited_for(host):
    """The change is there as far as it can go back, and says what it waits for."""
    wait_until(lambda: "comes.qcow2" in sizes(host), 20, "what can be taken back is done at once")
    assert sizes(host) == {"grows.qcow2": 8, "goes.raw": 8, "stays.qcow2": 8, "comes.qcow2": 4}
    assert "final" in host.condition("volume", "grows")["message"]


def is_as_before(host, before):
    wait_until(lambda: {o["metadata"]["name"] for o in host.objects("volume")} == {"grows", "goes", "stays"}, 30, "it is undone")
    for name in ("grows", "goes", "stays"):
        host.wait_ready("volume", name)
    wait_until(lambda: seen(host) == before, 20, "whole, and what the change made is gone")


def test_growth_and_deletion_wait_for_who_confirms(host):
    before = begin(host)
    host.apply(AFTER, "--prune", "--confirm", "60s")
    is_waited_for(host)
    host.weft("rollback")
    is_as_before(host, before)
    host.apply(AFTER, "--prune", "--confirm", "4s")
    is_waited_for(host)
    is_as_before(host, before)
    host.apply(AFTER, "--prune", "--confirm", "60s")
    host.weft("confirm")
    wait_until(lambda: sizes(host) == {"grows.qcow2": 16, "stays.qcow2": 8, "comes.qcow2": 4}, 20, "with the confirmation")
    host.wait_ready("volume", "grows")
    assert seen(host)["grows.qcow2"][0] == before["grows.qcow2"][0] and seen(host)["stays.qcow2"] == before["stays.qcow2"]
    sh(f"qemu-io -r -f qcow2 -c 'read -P 65 0 64k' {images(host)}/grows.qcow2")


@pytest.mark.parametrize("after", [0, 3.5], ids=["in time", "after its time"])
def test_a_weftd_that_is_killed_meanwhile_takes_nothing_along(host, after):
    before = begin(host)
    host.apply(AFTER, "--prune", "--confirm", "3s")
    host.stop(signal.SIGKILL)
    time.sleep(after)
    assert sizes(host)["grows.qcow2"] == 8 and "goes.raw" in sizes(host)
    host.start()
    is_as_before(host, before)


def test_a_deletion_by_name_and_what_is_not_ready_in_time(host):
    """An apply with --atomic that fails has neither grown nor deleted anything. A deletion by name is confirmed by itself."""
    before = begin(host)
    done = host.apply(AFTER + volume("fails", "source: {file: absent.qcow2}"), "--prune", "--atomic", "--wait=4s", check=False)
    assert done.status != 0, done
    is_as_before(host, before)
    host.weft("delete", "volume", "goes", "--wait=20s")
    assert set(seen(host)) == {"grows.qcow2", "stays.qcow2"}


def test_reclaim_counts_once_it_was_final(host):
    """`reclaim: delete` of a revision that was undone has no say in what becomes of the bytes afterwards."""
    host.apply(BEFORE, "--wait=30s")
    inode = (images(host) / "stays.qcow2").stat().st_ino
    host.apply(BEFORE.replace("size: 8MiB}", "size: 8MiB, reclaim: delete}"), "--confirm", "60s")
    host.weft("rollback")
    host.weft("delete", "volume", "stays", "--wait=20s")
    assert (images(host) / "stays.qcow2").stat().st_ino == inode


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_under_a_running_guest(make_host):
    """Its QEMU enlarges the disk, and does so only then."""
    host = make_host(before=add_image)
    host.apply(BEFORE + GUEST, "--wait=60s")
    pid = host.process("guest=web,")
    text = BEFORE.replace("name: grows}\nspec: {pool: local, size: 8MiB", "name: grows}\nspec: {pool: local, size: 16MiB") + GUEST
    for answer in ("rollback", "confirm"):
        host.apply(text, "--confirm", "60s")
        time.sleep(1)
        assert sizes(host)["grows.qcow2"] == 8
        host.weft(answer)
        wait_until(lambda: host.condition("volume", "grows").get("status") == "True", 20)
        assert answer == "confirm" or sizes(host)["grows.qcow2"] == 8
    wait_until(lambda: sizes(host)["grows.qcow2"] == 16, 20)
    assert host.process("guest=web,") == pid
    # A guest that is left out runs on its disk until then, too; the disk goes after it.
    host.apply(BEFORE.replace("stays", "other").replace("name: grows", "name: more"), "--prune", "--confirm", "60s")
    assert host.process("guest=web,") == pid and os.path.exists(images(host) / "grows.qcow2")
    host.weft("confirm")
    wait_until(lambda: not os.path.exists(images(host) / "grows.qcow2"), 30)
    assert not any("guest=web," in line for line in host.pids().values())


def test_a_pool_that_is_empty_waits_as_well(host):
    """Its directory is weft's, and would be another one if it were made anew."""
    host.apply(POOL, "--wait=20s")
    inode = images(host).stat().st_ino
    host.apply(POOL.replace("name: local", "name: other").replace("path: images", "path: more"), "--prune", "--confirm", "60s")
    wait_until(lambda: (host.root / "lib/more").exists(), 20)
    assert images(host).stat().st_ino == inode
    host.weft("rollback")
    host.wait_ready("pool", "local")
    assert images(host).stat().st_ino == inode
    host.weft("delete", "pool", "local", "--wait=20s")
    assert not images(host).exists()
