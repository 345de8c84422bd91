# SPDX-License-Identifier: Apache-2.0
"""lvm or qemu-img, the child of weftd's that runs it, or weftd itself, is killed before or after each step while logical volumes are made, filled, linked, copied and
grown, and snapshots are made, reverted to and deleted. What lvm was told to do is done all the same after its child or weftd has gone, some seconds later, when others may be at
it already. However it ends, what is there when all has been tried again is whole, and nothing half is left beside it.

Each step, told by its command line, is met once on the way of a volume's life, and each in another way; a seed, which is printed (WEFT_SEED repeats it), says
with which of them it begins. WEFT_SWEEP=all goes through that life until each step has been met in every way, and WEFT_SWEEP=2 begins with the second way."""
import contextlib
import os
import random

import pytest

from harness import wait_until
from test_lvm_volumes import got, put
from test_pool_crash import SEED, WAYS, Trap, try_all
from test_pool_lvm import MIB, THIN, disks, lvs, pool, volume, wipe  # noqa: F401
from test_volume_crash import alive

pytestmark = [pytest.mark.lab_state("storage"), pytest.mark.needs("lvm", "dmsetup", "blkid", "qemu-img")]
MOST, ORDERS = 60, 16  # programs of a life, and the most that one order runs, met one by one
# What tells a step from others is its command line without what has an instance or a process in it.
WRAPPER = """#!/bin/bash
case $1 in vgs|lvs|pvs|systemid|lvmconfig|info|measure) exec {real} "$@";; esac
step={program}
for word; do [[ $word == *weft* ]] || step+=" $word"; done
exec 9>{dir}/lock; flock 9
grep -qxF -- "$step" {dir}/calls && exec {real} "$@" 9>&-
echo "$step" >>{dir}/calls
way=$(sed -n $(wc -l <{dir}/calls)p {dir}/ways)
exec 9>&-
kill_it() {{
	echo "$way: $step" >>{dir}/killed
	case $way in
	weftd*) kill -KILL $(cat {dir}/weftd); sleep 5;;
	child*) kill -KILL $PPID; sleep 5;;
	*) kill -KILL $$;;
	esac
}}
[[ $way == *before ]] && kill_it
{real} "$@"; status=$?
[[ $way == *after ]] && kill_it
exit $status
"""
SOURCE = "source: {file: disk.raw, format: raw}"


class StepTrap(Trap):
    wrapper = WRAPPER

    def set(self, *ways):
        """The n-th step that has not been met yet is met in the n-th way."""
        for name, text in (("ways", "".join(f"{way}\n" for way in ways)), ("calls", ""), ("killed", ""), ("weftd", "")):
            (self.dir / name).write_text(text)

    def killed(self):
        return (self.dir / "killed").read_text().splitlines()


@pytest.fixture
def trap(disks, tmp_path):  # noqa: F811
    return StepTrap(tmp_path / "trap", ("lvm", "qemu-img"))


@pytest.fixture
def begin(make_host, trap):
    """A function that makes a host in which what is to be done is met so, with a file to copy."""
    def begin(ways):
        trap.set(*ways)
        host = make_host(environment=trap.environment)
        host.dir_of_trap = trap.dir
        files = host.root / "lib/files"
        files.mkdir(parents=True, exist_ok=True)
        (files / "disk.raw").write_bytes(b"begin" + bytes(2 * MIB - 5))
        return host
    return begin


def end(host, trap):
    met = trap.killed()
    print(f"{len(met)} were killed: " + "; ".join(met))
    trap.set()
    host.delete_all()
    host.stop()
    host.daemon = None
    wipe()
    return met


def snapshots(host):
    return [s["name"] for s in host.weft("volume", "snapshot", "list", "web", "-o", "json").json()]


def go_through(host, thin):
    """All that volumes know, and what must have come of it: their sizes in MiB."""
    def ordered(done, *args):
        """What was interrupted on the way back says so, and is ordered again."""
        for _ in range(ORDERS):
            alive(host)
            last = host.weft("volume", "snapshot", *args, "--yes", check=False)
            with contextlib.suppress(AssertionError):
                return wait_until(lambda: (alive(host), done() and host.ready("volume", "web"))[1], 10)
        raise AssertionError(f"{args} was not done in {ORDERS} attempts: {last}, {host.condition('volume', 'web')}, {got()}, {lvs()}")

    text = (pool(THIN if thin else "") + volume(SOURCE, "base") + volume("clone: base, size: 16MiB")
            + (volume("base: base, size: 8MiB", "linked") if thin else ""))
    try_all(host, text, MOST)
    ordered(lambda: snapshots(host) == ["one"], "create", "web", "one")
    put("B")
    ordered(lambda: got() == "b", "revert", "web", "one")
    if thin:
        try_all(host, text.replace("16MiB", "24MiB"), MOST)
    ordered(lambda: snapshots(host) == [], "delete", "web", "one")
    if not thin:
        try_all(host, text.replace("16MiB", "24MiB"), MOST)
    return {"base": 4, "web": 24, **({"linked": 8, "thin": None} if thin else {})}


def check(host, expected):
    wait_until(lambda: (alive(host), host.weft("status", "-o", "json").json()["converged"])[1], 120, "the last look is over")
    wait_until(lambda: (alive(host), set(lvs()) == set(expected))[1], 90, "nothing half is left")
    for name, seen in lvs().items():
        assert expected[name] in (None, int(seen["lv_size"]) // MIB), (name, seen)
        assert not any(tag in seen["lv_tags"] for tag in ("weft-new", "weft-snapshot", "weft-reverting")), seen
        assert seen["lv_attr"][4] == "a" and (name == "thin" or got(0, f"/dev/wt0/{name}") == "b"), (name, seen)


@pytest.mark.no_laws
def test_killed_while_a_logical_volume_is_made_and_grown(begin, trap):
    """Two steps of the six of a short life: group, thin pool, volume, its bytes, its mark, more room."""
    print(f"WEFT_SEED={SEED}")
    chance = random.Random(SEED)
    steps = chance.sample(range(6), 2)
    host = begin([chance.choice(WAYS) if n in steps else "" for n in range(6)])
    text = pool(THIN) + volume(SOURCE + ", size: 8MiB")
    try_all(host, text, MOST)
    try_all(host, text.replace("8MiB", "12MiB"), MOST)
    check(host, {"web": 12, "thin": None})
    assert len(end(host, trap)) == 2


@pytest.mark.lab_full
@pytest.mark.no_laws
@pytest.mark.parametrize("thin", (True, False), ids=("thin", "ordinary"))
def test_killed_at_each_step_of_a_logical_volumes_life(begin, trap, thin):
    sweep = os.environ.get("WEFT_SWEEP", "")
    print(f"WEFT_SEED={SEED}")
    first = int(sweep) - 1 if sweep.isdigit() else SEED
    for i in range(len(WAYS) if sweep == "all" else 1):
        host = begin([WAYS[(first + i + n) % len(WAYS)] for n in range(MOST)])
        check(host, go_through(host, thin))
        assert len(end(host, trap)) >= 10
