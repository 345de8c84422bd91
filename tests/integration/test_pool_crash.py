# SPDX-License-Identifier: Apache-2.0
"""A program that weftd runs for storage, the child of weftd's that runs it, or weftd itself, is killed before or after the n-th such program: while a filesystem is made and mounted, and a
volume is made, copied and grown. However it ends, what is there when all has been tried again is whole, and nothing half is left beside it. A sample of all
places is tried, from a seed that is printed (WEFT_SEED repeats it); WEFT_SWEEP=all tries every one."""
import json
import os
import random
import shutil
import signal
import subprocess

import pytest

from harness import wait_until
from test_pools import MIB, loop, mounts, pool, sh, volume  # noqa: F401

pytestmark = pytest.mark.needs("losetup", "mkfs.ext4", "blkid", "qemu-img", "/dev/loop-control")
SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 30)))
SAMPLE = 8
PROGRAMS = ("qemu-img", "sha256sum", "mount", "mkfs.ext4")
WAYS = ("helper before", "helper after", "child before", "child after", "weftd before", "weftd after")
# Runs the real program, but does as `way` says at the call whose number is in `at`.
WRAPPER = """#!/bin/bash
exec 9>{dir}/lock; flock 9
n=$(($(cat {dir}/count) + 1)); echo $n >{dir}/count
at=$(cat {dir}/at) way=$(cat {dir}/way)
exec 9>&-
echo "$n {program} $*" >>{dir}/calls
kill_it() {{
	touch {dir}/killed
	case $way in
	weftd*) kill -KILL $(cat {dir}/weftd); sleep 5;;
	child*) kill -KILL $PPID; sleep 5;;
	*) kill -KILL $$;;
	esac
}}
[ $n = $at ] && [[ $way == *before ]] && kill_it
{real} "$@"; status=$?
[ $n = $at ] && [[ $way == *after ]] && kill_it
exit $status
"""


class Trap:
    wrapper = WRAPPER

    def __init__(self, directory, programs=PROGRAMS):
        self.dir = directory
        (directory / "bin").mkdir(parents=True)
        self.set(0, WAYS[0])
        for program in programs:
            path = directory / "bin" / program
            path.write_text(self.wrapper.format(dir=directory, program=program, real=shutil.which(program)))
            path.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}"}

    def set(self, at, way):
        (self.dir / "killed").unlink(missing_ok=True)
        for name, text in (("count", "0"), ("at", str(at)), ("way", way), ("weftd", "0"), ("calls", "")):
            (self.dir / name).write_text(text)

    def calls(self):
        return (self.dir / "calls").read_text().splitlines()


def try_all(host, text, attempts=3):
    """Applies it until it is Ready, however often weftd is killed meanwhile."""
    for _ in range(attempts):
        (host.dir_of_trap / "weftd").write_text(str(host.weftd_pid()))
        done = host.apply(text, "--wait=60s", check=False)
        if host.daemon.poll() is not None:
            host.daemon = None
            host.start()
        elif done.status == 0:
            return
    host.apply(text, "--wait=90s")


@pytest.mark.no_laws
def test_killed_at_each_step_of_making_copying_and_growing(make_host, loop, tmp_path):  # noqa: F811
    trap = Trap(tmp_path / "trap")

    def once(n, number, way):
        trap.set(number, way)
        disk = loop()
        host = make_host(own_mounts=False, environment=trap.environment)
        host.dir_of_trap = trap.dir
        files = host.root / "lib/files"
        files.mkdir(parents=True, exist_ok=True)
        (files / "base.raw").write_bytes(b"begin" + bytes(2 * MIB))
        digest = sh(f"sha256sum {files}/base.raw").split()[0]
        text = (pool(f"type: fs, device: {disk.device}, format: ext4")
                + volume("size: 8MiB, source: {file: base.raw, format: raw, sha256: %s}" % digest) + volume("size: 8MiB, format: raw", "plain"))
        try_all(host, text)
        try_all(host, text.replace("8MiB", "16MiB"))
        where = host.root / "lib/mounts/data"
        wait_until(lambda: sorted(os.listdir(where)) == ["lost+found", "plain.raw", "web.qcow2"], 20, "nothing half is left")
        assert mounts(host)["data"][:2] == (disk.device, "ext4") and len(mounts(host)) == 1
        info = json.loads(sh(f"qemu-img info -U -f qcow2 --output=json {where}/web.qcow2"))
        assert info["virtual-size"] == 16 * MIB and (where / "plain.raw").stat().st_size == 16 * MIB
        sh(f"qemu-img check -U -f qcow2 {where}/web.qcow2 && qemu-img convert -U -O raw {where}/web.qcow2 {tmp_path}/out")
        with open(tmp_path / "out", "rb") as out:
            assert out.read(6) == b"begin\0"
        calls = trap.calls()
        assert (trap.dir / "killed").exists() == (number > 0)
        host.delete_all()
        assert not mounts(host)
        host.stop()
        host.daemon = None
        disk.detach()
        return calls

    calls = once(0, 0, WAYS[0])
    places = [(n, way) for n in range(1, len(calls) + 1) for way in WAYS]
    print(f"WEFT_SEED={SEED}, {len(calls)} programs are run: {calls}")
    random.seed(SEED)
    if os.environ.get("WEFT_SWEEP") != "all":
        places = random.sample(places, SAMPLE)
    for i, (n, way) in enumerate(places, 1):
        print(f"killed: {way} {calls[n - 1]}")
        once(i, n, way)
