# SPDX-License-Identifier: Apache-2.0
"""What is in a volume stays what it is, whoever else touches its files: bases of clones that nobody wants any more, images
that were cut off, headers that name other files, growth that fails. What images hold is read with qemu-io and qemu-img."""
import os

import pytest

from harness import wait_until
from test_guest import add_image
from test_pools import loop, sh  # noqa: F401
from test_promise_14 import Opened
from test_volume_snapshots import GUEST, snapshot, write
from test_volumes import MIB, POOL, bytes_of, images, info, refusal, sum_of, volume

pytestmark = pytest.mark.needs("qemu-img", "qemu-io", "qemu-system-x86_64", "as", "ld")


@pytest.fixture
def host(make_host):
    return make_host(before=add_image)


def says(host, kind, name, word, timeout=30):
    return wait_until(lambda: word in (host.condition(kind, name).get("message") or ""), timeout, f"{kind} {name} says {word!r}")


def is_off(host, guest="web"):
    return not [p for p in host.pids().values() if f"guest={guest}," in p]


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
    assert is_off(host)
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


def test_an_image_that_shrank_is_neither_used_nor_grown_back(host):
    text = POOL + volume("plain", "size: 64MiB, format: raw") + volume("data", "size: 64MiB")
    host.apply(text, "--wait=20s")
    plain, data = images(host) / "plain.raw", images(host) / "data.qcow2"
    whole = data.read_bytes()
    assert sorted(os.listdir(images(host))) == ["data.qcow2", "plain.raw"]
    os.truncate(plain, 32 * MIB)
    os.truncate(data, 1000)
    # Nothing tells weftd of it; it looks again before a guest starts.
    for name in ("plain", "data"):
        host.apply(text + GUEST.replace("volume: data", f"volume: {name}"), check=False)
        says(host, "volume", name, "it shrank" if name == "plain" else "it was cut off")
        assert is_off(host)
        host.weft("delete", "guest", "web", "--now", "--wait=20s")
    host.restart()
    said = refusal(host, "plain", "it has 32.0 MiB and had 64.0 MiB")
    refusal(host, "data", "it was cut off")
    host.apply(text, "--wait=3s", check=False)
    assert plain.stat().st_size == 32 * MIB and data.stat().st_size == 1000
    assert "qemu-img resize -f raw plain.raw 67108864" in said
    sh(f"cd {images(host)} && qemu-img resize -f raw plain.raw 67108864")
    with open(data, "r+b") as file:
        file.write(whole)
    host.weft("apply", "-f", host.scratch / "manifest.yaml", "--wait=90s")
    host.apply(text + GUEST, "--wait=60s")
    # Growth, also by a guest, is seen, and going back to a smaller snapshot is no loss.
    snapshot(host, "create", "data", "small")
    host.apply(text.replace("name: data}\nspec: {pool: local, size: 64MiB", "name: data}\nspec: {pool: local, size: 96MiB") + GUEST, "--wait=20s")
    assert info(data)["virtual-size"] == 96 * MIB
    host.weft("delete", "guest", "web", "--now", "--wait=20s")
    snapshot(host, "revert", "data", "small", "--yes")
    wait_until(lambda: info(data)["virtual-size"] == 96 * MIB, 20)
    host.wait_ready("volume", "data")
    sh(f"qemu-img resize -q -f qcow2 --shrink {data} 80M")
    host.restart()
    refusal(host, "data", "it has 80.0 MiB and had 96.0 MiB")
    sh(f"qemu-img resize -q -f qcow2 {data} 96M")
    host.wait_ready("volume", "data", 90)


def test_an_adopted_image_leads_to_no_other_file(host):
    """Nobody opens what its header names: neither weft, as root, nor the guest's QEMU."""
    host.apply(POOL, "--wait=20s")
    secret, pipe = images(host) / "secret.raw", images(host) / "pipe"
    secret.write_bytes(b"S" * MIB)
    os.mkfifo(pipe)
    sh(f"cd {images(host)} && qemu-img create -q -f qcow2 -b {secret} -F raw backed.qcow2"
       " && qemu-img create -q -f qcow2 -o data_file=aside.bin aside.qcow2 1M && rm aside.bin && ln -s pipe aside.bin")
    before = {name: sum_of(images(host) / f"{name}.qcow2") for name in ("backed", "aside")}
    text = POOL + "".join(volume(name, "size: 2MiB, adopt: true") for name in before)
    guests = "".join(GUEST.replace("name: web", f"name: {name}").replace("{file: tiny.img}, {volume: data}", "{volume: %s}" % name) for name in before)
    with Opened(images(host)) as opened:
        assert host.apply(text + guests, "--wait=5s", check=False).status == 3
        refusal(host, "backed", "which weft does not look after")
        refusal(host, "aside", "names another file that holds its data")
        host.restart()
        refusal(host, "backed", "which weft does not look after")
        refusal(host, "aside", "names another file that holds its data")
    assert "backed.qcow2" in opened.names and "secret.raw" not in opened.names
    assert is_off(host, "backed") and is_off(host, "aside")
    assert {name: sum_of(images(host) / f"{name}.qcow2") for name in before} == before, "not grown"
    host.weft("delete", "-f", host.scratch / "manifest.yaml", "--wait=20s", check=False)
    for name in os.listdir(images(host)):
        (images(host) / name).unlink()


def test_growth_that_fails_takes_no_room(make_host, loop):  # noqa: F811
    """Tried again and again, by weft itself too, an image is as large as before. Growth by all that is free fails on what the tables need."""
    disk = loop("ext4")
    sh(f"tune2fs -m 0 {disk.device}")
    host = make_host(own_mounts=False)
    text = POOL.replace("type: dir, path: images", f"type: fs, device: {disk.device}")
    host.apply(text + volume("data", "size: 8MiB"), "--wait=20s")
    image = host.root / "lib/mounts/local/data.qcow2"

    def taken():
        os.sync()
        return image.stat().st_blocks, image.stat().st_size, os.statvfs(image).f_bfree
    before = None
    free = os.statvfs(image).f_bavail * os.statvfs(image).f_frsize
    for size in (8 * MIB + free, 8 * MIB + free - MIB // 64, 200 << 30):
        for preallocation in ("falloc", "full"):
            done = host.apply(text + volume("data", f"size: {size // 1024}KiB, preallocation: {preallocation}"), "--wait=3s", check=False)
            assert done.status == 3, done
            refusal(host, "data", "there is no room")
            before = before or taken()  # tables that the first try has made are in use
            assert taken() == before and before[1] <= 8 * 65536, (size, preallocation)
            assert info(image)["virtual-size"] == 8 * MIB
    host.apply(text + volume("data", "size: 8MiB"), "--wait=20s")
    sh(f"qemu-img check -f qcow2 {image}")
    # A snapshot has no preallocation that could be left out.
    write(image, "A")
    sh(f"head -c {free - 16 * 1024} /dev/zero > {image.parent}/full; dd if=/dev/zero of={image.parent}/rest bs=1k 2>/dev/null; sync", check=False)
    done = snapshot(host, "create", "data", "one", check=False)
    assert done.status == 1 and "there is no room" in done.err and "free some space" in done.err and "preallocation" not in done.err, done
    for name in ("full", "rest"):
        (image.parent / name).unlink()
    snapshot(host, "create", "data", "one")
    host.delete_all()
