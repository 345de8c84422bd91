# SPDX-License-Identifier: Apache-2.0
"""lvm or qemu-img, or weftd itself, is killed before or after the n-th program that is run while logical volumes are made, filled, linked, copied and grown, and
snapshots are made, reverted to and deleted. However it ends, what is there when all has been tried again is whole, and nothing half is left beside it. A sample
of all places is tried, from a seed that is printed (WEFT_SEED repeats it); WEFT_SWEEP=all tries every one, and WEFT_SWEEP=a-b those with these numbers."""
import os
import random

import pytest

from harness import wait_until
from test_lvm_volumes import got, put
from test_pool_crash import SEED, WAYS, Trap, try_all
from test_pool_lvm import MIB, THIN, disks, groups, lvs, pool, volume, wipe  # noqa: F401
from test_volume_crash import alive, order

pytestmark = [pytest.mark.lab_state("storage"), pytest.mark.needs("lvm", "dmsetup", "blkid", "qemu-img"), pytest.mark.lab_full]
SAMPLE = 4
LOOKS = ("vgs", "lvs", "pvs", "systemid")


def snapshots(host, name="web"):
    return [s["name"] for s in host.weft("volume", "snapshot", "list", name, "-o", "json").json()]


def go_through(host, thin):
    """All that volumes know, and what must have come of it."""
    text = (pool(THIN if thin else "") + volume("source: {file: disk.raw, format: raw}", "base") + volume("clone: base, size: 16MiB")
            + (volume("base: base, size: 8MiB", "linked") if thin else ""))
    try_all(host, text)
    order(host, lambda: snapshots(host) == ["one"], "create", "web", "one")
    put("B")
    order(host, lambda: got() == "b", "revert", "web", "one")
    if thin:
        try_all(host, text.replace("16MiB", "24MiB"))
    order(host, lambda: snapshots(host) == [], "delete", "web", "one")
    if not thin:
        try_all(host, text.replace("16MiB", "24MiB"))
    return {"base": 4, "web": 24, **({"linked": 8, "thin": None} if thin else {})}


def check(host, expected):
    wait_until(lambda: (alive(host), host.weft("status", "-o", "json").json()["converged"])[1], 120, "the last look is over")
    wait_until(lambda: (alive(host), set(lvs()) == set(expected))[1], 90, "nothing half is left")
    for name, seen in lvs().items():
        assert expected[name] in (None, int(seen["lv_size"]) // MIB), (name, seen)
        assert "weft-new" not in seen["lv_tags"] and "weft-snapshot" not in seen["lv_tags"] and "weft-reverting" not in seen["lv_tags"], seen
        assert seen["lv_attr"][4] == "a" and (name == "thin" or got(0, f"/dev/wt0/{name}") == "b"), (name, seen)


@pytest.mark.no_laws
@pytest.mark.parametrize("thin", (True, False), ids=("thin", "ordinary"))
def test_killed_at_each_step_of_a_logical_volumes_life(make_host, disks, tmp_path, thin):  # noqa: F811
    trap = Trap(tmp_path / "trap", ("lvm", "qemu-img"))

    def once(number, way):
        trap.set(number, way)
        host = make_host(environment=trap.environment)
        host.dir_of_trap = trap.dir
        files = host.root / "lib/files"
        files.mkdir(parents=True, exist_ok=True)
        (files / "disk.raw").write_bytes(b"begin" + bytes(2 * MIB - 5))
        check(host, go_through(host, thin))
        calls = trap.calls()
        host.delete_all()
        host.stop()
        host.daemon = None
        wipe()
        return calls

    calls = once(0, WAYS[0])
    places = [(n, way) for n, call in enumerate(calls, 1) for way in WAYS if call.split()[2] not in LOOKS]
    print(f"WEFT_SEED={SEED}, {len(calls)} programs are run, {len(places)} places: {calls}")
    random.seed(SEED)
    sweep = os.environ.get("WEFT_SWEEP", "")
    if "-" in sweep:
        first, last = map(int, sweep.split("-"))
        places = [place for place in places if first <= place[0] <= last]
    elif sweep != "all":
        places = random.sample(places, SAMPLE)
    for n, way in places:
        print(f"killed: {way} {calls[n - 1]}")
        once(n, way)
