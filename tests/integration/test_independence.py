# SPDX-License-Identifier: Apache-2.0
"""What fails stands for itself: it keeps neither the daemon nor the next apply from working."""
import pytest

from harness import wait_until

BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: %s}
spec: {ports: [%s]}
"""


@pytest.mark.no_laws  # its port is gone for good
def test_what_failed_before_does_not_hold_up_another_apply(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1"))
    host.apply(BRIDGE % ("br1", "v0"), "--wait=20s")
    host.run("ip", "link", "del", "v0")
    wait_until(lambda: not host.ready("bridge", "br1"), 10, "br1 misses its port")
    assert "v0" in host.condition("bridge", "br1")["message"]
    host.apply(BRIDGE % ("br2", ""), "--wait=20s")
    assert "br2" in host.links()
    host.restart()
    host.wait_ready("bridge", "br2")
    host.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1")
    host.wait_ready("bridge", "br1", 10)
    assert host.links()["v0"]["master"] == "br1"


def test_a_refused_apply_leaves_the_others_alone(host):
    host.apply(BRIDGE % ("br1", ""), "--wait=20s")
    index = host.links()["br1"]["ifindex"]
    done = host.apply(BRIDGE % ("br2", "nosuch0"), check=False)
    assert done.status == 1 and "nosuch0" in done.err and "does not exist" in done.err
    links = host.links()
    assert links["br1"]["ifindex"] == index and "br2" not in links


NETWORK = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec: {mode: isolated, addresses: [10.9.0.1/24]}
"""
POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {name: p}
spec: {type: dir, path: p}
"""
VOLUME = """
apiVersion: weft/v1
kind: Volume
metadata: {name: v}
spec: {pool: p, size: 1MiB, format: raw}
"""


def test_the_files_of_etc_at_boot_and_reload(host):
    etc = host.root / "etc"
    (etc / "a.yaml").write_text(NETWORK)
    (etc / "b.yaml").write_text(POOL)
    host.restart()
    host.wait_ready("network", "lan")
    host.wait_ready("pool", "p")
    host.apply(VOLUME, "--wait=20s")
    done = host.weft("delete", "network", "lan", check=False)
    assert done.status == 2 and "a.yaml" in done.err
    (etc / "a.yaml").write_text(NETWORK.replace("mode:", "mdoe:"))  # keeps its last content
    (etc / "b.yaml").unlink()  # but a volume of another set refers to it
    host.restart()
    host.wait_ready("network", "lan")
    host.wait_ready("pool", "p")
    wait_until(lambda: any("a.yaml" in e["text"] for e in host.events() if e["type"] == "Refused"), 5)
    host.weft("delete", "volume", "v", "--wait=20s")
    host.restart()
    wait_until(lambda: not host.objects("pool"), 10)
    (etc / "a.yaml").unlink()
    host.restart()
    wait_until(lambda: not host.objects("network") and "lan" not in host.links(), 10)


def test_verify_takes_back_what_cuts_an_address_off(host):
    host.apply(NETWORK, "--verify", "127.0.0.1", "--wait=20s")
    done = host.apply(NETWORK.replace("10.9.0.1", "10.9.0.2"), "--verify", "10.9.0.1", check=False)
    assert done.status == 1 and "10.9.0.1 did not answer" in done.err
    assert host.addresses("lan") == {"10.9.0.1/24"}
    assert host.weft("history", "-o", "json").json()[0]["state"] == "undone"


def test_atomic_goes_back_unless_all_is_ready(host):
    guest = "apiVersion: weft/v1\nkind: Guest\nmetadata: {name: g}\nspec: {memory: {size: 64MiB}, boot: {kernel: nothere}}\n"
    done = host.apply(NETWORK + "---\n" + guest, "--atomic", "--wait=3s", check=False)
    assert done.status == 1 and "nothere" in done.err
    assert "lan" not in host.links() and not host.objects()


def test_a_port_gets_back_what_is_not_wanted_of_it_any_more(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "v0", "mtu", "1400", "type", "veth", "peer", "v1"))
    bridge = BRIDGE.replace("spec: {", "spec: {%s") % ("br1", "%s", "v0")
    host.apply(bridge % "mtu: 1300, ", "--wait=20s")
    assert host.links()["v0"]["mtu"] == 1300
    host.apply(bridge % "", "--wait=20s")
    wait_until(lambda: host.links()["v0"]["mtu"] == 1400, 10, "the port has its MTU again")
