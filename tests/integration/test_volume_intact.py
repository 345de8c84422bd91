# SPDX-License-Identifier: Apache-2.0
"""What is in a volume stays what it is, whoever else touches its files: bases of clones that nobody wants any more. What images hold is read with qemu-io and qemu-img."""
import os

import pytest

from harness import wait_until
from test_guest import add_image
from test_volume_snapshots import GUEST, snapshot, write
from test_volumes import MIB, POOL, bytes_of, images, info, refusal, sum_of, volume

pytestmark = pytest.mark.needs("qemu-img", "qemu-io", "qemu-system-x86_64", "as", "ld")


@pytest.fixture
def host(make_host):
    return make_host(before=add_image)


def says(host, kind, name, word, timeout=30):
    return wait_until(lambda: word in (host.condition(kind, name).get("message") or ""), timeout, f"{kind} {name} says {word!r}")


def test_a_base_is_not_written_while_a_clone_is_there_that_nobody_wants(host, tmp_path):
    """Deleted with its bytes kept, or of another host: it is read through the base all the same."""
    text = POOL + volume("data", "size: 8MiB")
    host.apply(text, "--wait=20s")
    base, clone = images(host) / "data.qcow2", images(host) / "linked.qcow2"
    write(base, "A")
    snapshot(host, "create", "data", "clean")
    write(base, "B")
    host.apply(text + volume("linked", "base: data"), "--wait=20s")
    host.weft("delete", "volume", "linked", "--wait=20s")
    before = sum_of(base)
    for verb in ("revert", "delete"):
        done = snapshot(host, verb, "data", "clean", "--yes", check=False)
        assert done.status == 1 and "linked.qcow2" in done.err, done
    host.apply(POOL + volume("data", "size: 16MiB"), check=False)
    refusal(host, "data", "linked.qcow2")
    host.apply(text, "--wait=20s")
    host.apply(text + GUEST, check=False)
    says(host, "guest", "web", "linked.qcow2")
    assert not [p for p in host.pids().values() if "guest=web," in p]
    assert sum_of(base) == before and info(base)["virtual-size"] == 8 * MIB
    assert bytes_of(clone, tmp_path)[:1] == b"B"
    # To be read only it is no harm.
    host.apply(text + GUEST.replace("{volume: data}", "{volume: data, readOnly: true}"), "--wait=60s")
    host.weft("delete", "guest", "web", "--now", "--wait=20s")
    clone.unlink()
    snapshot(host, "revert", "data", "clean", "--yes")
    assert bytes_of(base, tmp_path)[:1] == b"A"
    host.apply(text + GUEST, "--wait=60s")
    host.weft("guest", "kill", "web")
    host.weft("delete", "guest", "web", "--now", "--wait=20s")
    assert sorted(os.listdir(images(host))) == ["data.qcow2"]
