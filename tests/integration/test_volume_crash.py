# SPDX-License-Identifier: Apache-2.0
"""qemu-img, the child of weftd's that runs it, or weftd itself, is killed before or after the n-th program that is run while volumes are made of a file, linked, copied and grown, and snapshots
are made, reverted to and deleted. However it ends, what is there when all has been tried again is whole, and nothing half is left beside it. A sample of all
places is tried, from a seed that is printed (WEFT_SEED repeats it); WEFT_SWEEP=all tries every one."""
import os
import random
import shutil
import subprocess
import threading

import pytest

from harness import wait_until
from test_pool_crash import SEED, WAYS, Trap, try_all
from test_volumes import MIB, POOL, bytes_of, chain, images, info, sh, sum_of, volume

pytestmark = pytest.mark.needs("qemu-img", "qemu-io")
SAMPLE = 6


def alive(host):
    """Starts weftd again if it was killed."""
    if host.daemon.poll() is not None:
        host.daemon = None
        host.start()
    (host.dir_of_trap / "weftd").write_text(str(host.weftd_pid()))


def order(host, done, *args):
    """Orders it until it is so: one that was killed has been done, or not, and can be given again."""
    for _ in range(4):
        alive(host)
        host.weft("volume", "snapshot", *args, "--yes", check=False)
        wait_until(lambda: (alive(host), host.ready("volume", args[1]))[1], 60, "it is Ready, however often weftd is killed")
        if done():
            return
    raise AssertionError(f"{args} was not done in four attempts")


def snapshots(host):
    return [s["name"] for s in info(host.images / "copy.qcow2").get("snapshots", [])]


def letter(host, tmp_path):
    return bytes_of(host.images / "copy.qcow2", tmp_path)[:1]


def go_through(host, pool, tmp_path):
    """All that volumes know, and what must have come of it."""
    files, copy = host.root / "lib/files", host.images / "copy.qcow2"
    digest = sum_of(files / "disk.raw")
    text = (pool + volume("base", "source: {file: disk.raw, format: raw, sha256: %s}" % digest) + volume("linked", "base: base, size: 8MiB")
            + volume("copy", "clone: linked, size: 8MiB"))
    try_all(host, text)
    base = sum_of(host.images / "base.qcow2")
    order(host, lambda: snapshots(host) == ["one"], "create", "copy", "one")
    sh(f"qemu-io -f qcow2 -c 'write -P 66 0 64k' {copy}")
    try_all(host, text.replace("8MiB", "16MiB"))
    order(host, lambda: letter(host, tmp_path) == b"b", "revert", "copy", "one")
    wait_until(lambda: (alive(host), info(copy)["virtual-size"])[1] == 16 * MIB, 60, "what was reverted grows again")
    order(host, lambda: snapshots(host) == [], "delete", "copy", "one")
    assert sum_of(host.images / "base.qcow2") == base
    assert chain(host.images / "linked.qcow2") == [("linked.qcow2", "qcow2", 16 * MIB), ("base.qcow2", "qcow2", 2 * MIB)]


def sweep(make, pool, tmp_path):
    """`make` makes a host with an environment, and says as its `images` where the pool's are."""
    trap = Trap(tmp_path / "trap")

    def once(number, way):
        trap.set(number, way)
        host = make(trap.environment)
        host.dir_of_trap = trap.dir
        files = host.root / "lib/files"
        files.mkdir(parents=True, exist_ok=True)
        (files / "disk.raw").write_bytes(b"begin" + bytes(2 * MIB - 5))
        go_through(host, pool, tmp_path)
        wait_until(lambda: (alive(host), host.weft("status", "-o", "json").json()["converged"])[1], 60, "the last look is over")
        wait_until(lambda: sorted(os.listdir(host.images)) == ["base.qcow2", "copy.qcow2", "linked.qcow2"], 20, "nothing half is left")
        for name in ("base", "copy", "linked"):
            sh(f"qemu-img check -f qcow2 {host.images}/{name}.qcow2")
            assert bytes_of(host.images / f"{name}.qcow2", tmp_path)[:6] == b"begin\0"
        calls = trap.calls()
        assert (trap.dir / "killed").exists() == (0 < number <= len(calls))  # a look more or less, as it comes
        host.delete_all()
        host.stop()
        host.daemon = None
        for name in ("base", "copy", "linked"):
            (host.images / f"{name}.qcow2").unlink()
        return calls

    calls = once(0, WAYS[0])
    places = [(n, way) for n in range(1, len(calls) + 1) for way in WAYS]
    print(f"WEFT_SEED={SEED}, {len(calls)} programs are run: {calls}")
    random.seed(SEED)
    if os.environ.get("WEFT_SWEEP") != "all":
        places = random.sample(places, SAMPLE)
    for n, way in places:
        print(f"killed: {way} {calls[n - 1]}")
        once(n, way)


@pytest.mark.no_laws
def test_killed_at_each_step_of_a_volumes_life(make_host, tmp_path):
    def make(environment):
        host = make_host(environment=environment)
        host.images = images(host)
        return host
    sweep(make, POOL, tmp_path)


def test_one_of_many_is_called_off(make_host, tmp_path):
    """Those that are made together with it are made all the same; of it nothing is left."""
    (tmp_path / "bin").mkdir()
    slow, program = tmp_path / "slow", tmp_path / "bin/qemu-img"
    program.write_text(f"""#!/bin/sh
[ "$1" != create ] || while [ -e {slow} ]; do sleep 0.1; done
exec {shutil.which("qemu-img")} "$@"
""")
    program.chmod(0o755)
    slow.touch()
    host = make_host(environment={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    names = [f"v{i}" for i in range(40)]
    host.apply(POOL + "".join(volume(name, "size: 1MiB") for name in names))  # which stands once it takes long
    wait_until(lambda: len(subprocess.run(["pgrep", "-f", str(program)], capture_output=True).stdout.split()) >= 4, 20, "they are being made")
    deleting = threading.Thread(target=host.weft, args=("delete", "volume", "v7", "v8"))
    deleting.start()
    wait_until(lambda: "v7" not in [o["metadata"]["name"] for o in host.objects("volume")], 20, "it was called off")
    slow.unlink()
    deleting.join()
    kept = [name for name in names if name not in ("v7", "v8")]
    for name in kept:
        host.wait_ready("volume", name, 60)
    assert sorted(os.listdir(images(host))) == sorted(f"{name}.qcow2" for name in kept)
    assert all(info(images(host) / f"{name}.qcow2")["virtual-size"] == MIB for name in kept)
