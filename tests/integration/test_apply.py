# SPDX-License-Identifier: Apache-2.0
"""What a person can ask for with apply, confirm, rollback and delete, and that it is a transaction: exit statuses, what is said, and what the host is like afterwards."""
import json
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import EXAMPLES, wait_until

BASIC = re.sub(r" *#.*", "", (EXAMPLES / "basic.yaml").read_text())
BRIDGE = "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: %s}\nspec: {addresses: [%s], mtu: %d}\n"
pytestmark = pytest.mark.needs("dnsmasq")


def bridge(name="br1", address="10.1.0.1/24", mtu=1500):
    return BRIDGE % (name, address, mtu)


def history(host):
    return host.weft("history", "-o", "json").json()


def mtu(host, name="br1"):
    return host.links()[name]["mtu"]


# ---- what is refused ----

def test_unknown_fields_apply_nothing(host):
    done = host.apply(BASIC.replace("owner:", "ownr:"), check=False)
    assert done.status == 2
    assert re.search(r"manifest\.yaml:\d+:\d+: error: unknown field 'ownr'", done.err) and "did you mean 'owner'" in done.err and "^" in done.err
    host.check_as_before()
    assert host.objects() == [] and history(host) == []


def test_every_fault_is_told_at_once(host):
    done = host.apply(BASIC.replace("mtu: 1400", "mtu: large").replace("isolated", "isolatd"), check=False)
    assert done.status == 2 and done.err.count("error:") == 3
    host.check_as_before()


def test_a_refusal_by_the_host_brings_the_old_state_back(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "br3", "type", "bridge"))
    host.apply(bridge(), "--wait=10s")
    old = host.snapshot()
    done = host.apply(bridge(mtu=1400) + "---\n" + bridge("br2", "10.2.0.1/24") + "---\n" + bridge("br3", "10.3.0.1/24"), check=False)
    assert done.status == 1 and "br3" in done.err and "the state before is back" in done.err
    host.check_as(old)
    assert [o["metadata"]["name"] for o in host.objects()] == ["br1"]
    assert [r["state"] for r in history(host)] == ["undone", "final"]


def test_wrong_usage(host):
    assert host.weft("apply", check=False).status == 2
    assert host.weft("aply", "-f", "x", check=False).status == 2
    assert host.weft("apply", "-f", host.scratch / "absent.yaml", check=False).status in (1, 2)
    assert host.weft("delete", "bridge", "br1", check=False).status != 0


@pytest.mark.full("an apply is given two minutes in which nothing comes about")
def test_an_apply_is_taken_back_only_when_nothing_comes_about(make_host):
    """The second of two links is late by more than those two minutes; on the other host nothing goes on at all."""
    slow, stuck = (make_host(start=False) for _ in range(2))
    slow.start("--fault", "delay:2:150000")
    stuck.start("--fault", "delay:1:900000")
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(host.weft, "apply", "-f", "-", check=False, timeout=400, input=text)
                 for host, text in ((slow, bridge() + "---\n" + bridge("br2", "10.2.0.1/24")), (stuck, bridge()))]
    done, failed = (answer.result() for answer in asked)
    assert done.status == 0 and slow.addresses("br1") == {"10.1.0.1/24"} and slow.addresses("br2") == {"10.2.0.1/24"}, done
    assert failed.status == 1 and "it was not done in time" in failed.err and "br1" not in stuck.links(), failed


# ---- trying, confirming, going back ----

def test_a_dry_run_changes_nothing(host):
    done = host.apply(BASIC, "--dry-run", "-o", "json").json()
    assert done["result"] == "dryRun"
    assert {"link/quiet", "link/br7", "link/tap7", "dnsmasq/quiet"} <= {step["resource"] for step in done["plan"]}
    host.check_as_before()
    assert history(host) == []
    host.apply(bridge(), "--wait=10s")
    old = host.snapshot()
    assert "mtu" in host.apply(bridge(mtu=1400), "--dry-run").out
    host.check_as(old)


def test_diff_says_what_an_apply_would_do(host):
    host.apply(bridge(), "--wait=10s")
    (host.scratch / "next.yaml").write_text(bridge(mtu=1400))
    done = host.weft("diff", "-f", host.scratch / "next.yaml", check=False)
    assert done.status == 3 and "1400" in done.out
    assert host.weft("diff").status == 0
    host.apply(bridge(mtu=1400), "--wait=10s")
    assert host.weft("diff", "-f", host.scratch / "next.yaml").status == 0


def test_without_confirmation_it_is_undone(host):
    host.apply(bridge(), "--wait=10s")
    old = host.snapshot()
    done = host.apply(bridge(mtu=1400) + "---\n" + bridge("br2", "10.2.0.1/24"), "--confirm", "1s")
    assert "weft confirm" in done.out and mtu(host) == 1400 and "br2" in host.links()
    host.check_as(old)
    assert history(host)[0]["state"] == "undone"
    assert host.weft("confirm", check=False).status == 1


def test_confirmed_it_stays(host):
    host.apply(bridge(), "--wait=10s")
    host.apply(bridge(mtu=1400), "--confirm", "1s")
    host.weft("confirm")
    assert history(host)[0]["state"] == "final"
    time.sleep(1.2)
    assert mtu(host) == 1400


@pytest.mark.parametrize("after", [0.2, 2.5], ids=["in time", "after its time"])
def test_weftd_killed_before_confirmation_undoes(host, after):
    host.apply(bridge(), "--wait=10s")
    old = host.snapshot()
    host.apply(bridge(mtu=1400) + "---\n" + bridge("br2", "10.2.0.1/24"), "--confirm", "2s")
    host.stop(signal.SIGKILL)
    time.sleep(after)
    assert mtu(host) == 1400
    host.start()
    host.check_as(old)
    assert history(host)[0]["state"] == "undone"
    assert host.weft("confirm", check=False).status == 1


def test_one_revision_is_pending_at_a_time(host):
    host.apply(bridge(), "--wait=10s")
    host.apply(bridge(mtu=1400), "--confirm", "30s")
    for done in (host.apply(bridge(mtu=1300), check=False), host.weft("delete", "bridge", "br1", check=False),
                 host.apply(bridge(mtu=1300), "--dry-run", check=False)):
        assert done.status == 1 and "revision 2" in done.err and "weft confirm" in done.err and "weft rollback" in done.err
    host.weft("rollback")
    assert mtu(host) == 1500
    host.apply(bridge(mtu=1300))


def test_rollback(host):
    for size in (1500, 1400, 1300):
        host.apply(bridge(mtu=size), "--wait=10s")
    host.apply(bridge(mtu=1300) + "---\n" + bridge("br2", "10.2.0.1/24"), "--wait=10s")
    host.weft("rollback")
    assert "br2" not in host.links() and mtu(host) == 1300
    host.weft("rollback", "1")
    assert mtu(host) == 1500
    rows = history(host)
    assert [r["revision"] for r in rows] == [6, 5, 4, 3, 2, 1] and {r["state"] for r in rows} == {"final"}
    assert host.weft("rollback", "99", check=False).status != 0
    assert "rollback" in host.weft("history").out


def test_atomic_goes_back_unless_all_is_ready(host):
    guest = "apiVersion: weft/v1\nkind: Guest\nmetadata: {name: web}\nspec: {memory: {size: 32MiB}, boot: {kernel: absent}}\n"
    done = host.apply(bridge() + "---\n" + guest, "--wait=1s", check=False)
    assert done.status == 3 and "web" in done.err and "br1" in host.links()
    host.weft("delete", "guest", "web", "--wait=10s")
    old = host.snapshot()
    done = host.apply(bridge(mtu=1400) + "---\n" + guest, "--atomic", "--wait=1s", check=False)
    assert done.status == 1 and "web" in done.err
    host.check_as(old)


# ---- sets, pruning, deleting ----

def test_sets_and_prune(host):
    both = bridge() + "---\n" + bridge("br2", "10.2.0.1/24")
    host.apply(both, "--set", "one", "--wait=10s")
    host.apply(bridge("br3", "10.3.0.1/24"), "--set", "two", "--wait=10s")
    done = host.apply(bridge(mtu=1400), "--set", "two", check=False)
    assert done.status == 2 and "belongs to the set 'one'" in done.err
    host.apply(bridge(), "--set", "one", "--wait=10s")
    assert "br2" in host.links(), "nothing is pruned unless it is asked for"
    host.apply(bridge(), "--set", "one", "--prune", "--wait=10s")
    wait_until(lambda: "br2" not in host.links())
    assert {"br1", "br3"} <= set(host.links())


REFERRED = """
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
"""
REFERRING = """
apiVersion: weft/v1
kind: Volume
metadata: {name: data}
spec: {pool: local, size: 1MiB, format: raw}
"""


def test_what_is_referred_to_is_not_taken_away(host):
    host.apply(REFERRED, "--set", "pools", "--wait=10s")
    host.apply(REFERRING, "--set", "volumes", "--wait=10s")
    for done in (host.weft("delete", "pool", "local", check=False), host.apply(bridge(), "--set", "pools", "--prune", check=False)):
        assert done.status == 2 and "data" in done.err and "local" in done.err, done
    assert "br1" not in host.links()
    host.weft("delete", "Pool/local", "Volume/data", "--wait=10s")
    assert (host.root / "lib/images/data.raw").stat().st_size == 1 << 20


def test_several_are_deleted_in_one_transaction(host):
    host.apply(BASIC, "--wait=10s")
    revision = history(host)[0]["revision"]
    assert host.weft("delete", "Bridge/br7", "Tap/tap7", "Tap/absent", check=False).status == 2
    assert "br7" in host.links()
    host.weft("delete", "Bridge/br7", "Tap/tap7", "--wait=10s")
    assert history(host)[0]["revision"] == revision + 1
    assert not {"br7", "tap7"} & set(host.links())
    host.weft("delete", "-f", host.scratch / "manifest.yaml", "--wait=10s", check=False)
    host.weft("delete", "network", "quiet", "--wait=10s", check=False)
    host.check_as_before()


# ---- printing what can be applied again ----

@pytest.mark.parametrize("output", ["yaml", "json"])
def test_what_is_printed_can_be_applied_again(host, output):
    host.apply(BASIC + "---" + REFERRED + "---" + REFERRING, "--wait=10s")
    rows, before = history(host), host.snapshot()
    printed = host.weft("get", "all", "-o", output).out
    done = host.apply(printed, "-o", "json", name=f"again.{output}").json()
    assert {o["change"] for o in done["objects"]} == {"unchanged"}
    assert history(host) == rows
    host.check_as(before)


# ---- the files of etc ----

def test_files_of_etc(make_host):
    host = make_host(start=False)
    files = host.root / "etc"
    files.mkdir()
    (files / "one.yaml").write_text(bridge())
    (files / "two.yaml").write_text(bridge("br2", "10.2.0.1/24"))
    host.start()
    wait_until(lambda: {"br1", "br2"} <= set(host.links()), what="files are applied at start")
    host.wait_ready("bridge", "br2")
    assert {o["metadata"]["set"] for o in host.objects()} == {"system"}
    done = host.weft("delete", "bridge", "br1", check=False)
    assert done.status == 2 and "one.yaml" in done.err
    host.stop()
    (files / "two.yaml").unlink()
    (files / "one.yaml").write_text(bridge(mtu=1400))
    host.start()
    wait_until(lambda: "br2" not in host.links() and mtu(host) == 1400, what="what a file no longer has is pruned")
    (files / "one.yaml").write_text(bridge(mtu=1300).replace("mtu", "mut"))
    host.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: "unknown field 'mut'" in json.dumps(host.events()), what="the fault is told")
    assert mtu(host) == 1400, "a file with faults keeps its last content"
    (files / "one.yaml").write_text(bridge(mtu=1300))
    host.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: mtu(host) == 1300, what="a reload applies the files again")
    (files / "one.yaml").unlink()
    host.daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: "br1" not in host.links())


def test_a_link_name_of_another_set(host):
    """What is refused stands in the document at hand, whatever the order of the two."""
    def bridge(name):
        return f"apiVersion: weft/v1\nkind: Bridge\nmetadata: {{name: {name}}}\n---\n"
    host.apply(bridge("x0"), "--set", "one", "--wait=20s")
    veth = "apiVersion: weft/v1\nkind: Veth\nmetadata: {name: aa}\nspec: {peer: {name: x0}}\n"
    refused = host.apply(bridge("y0") + veth, "--set", "two", check=False)
    assert refused.status == 2 and "manifest.yaml:8:21: error: the link name 'x0' is taken by Bridge/x0" in refused.err, refused
    assert "this is Bridge/x0 of the set 'one'" in refused.err
    vxlan = "apiVersion: weft/v1\nkind: Vxlan\nmetadata: {name: x0}\nspec: {vni: 5001, remote: 192.0.2.1}\n"
    refused = host.apply(bridge("y0") + vxlan, "--set", "two", check=False)
    assert refused.status == 2 and "manifest.yaml:7:18: error: the link name 'x0' is taken by Bridge/x0" in refused.err, refused
    assert "y0" not in host.links()
