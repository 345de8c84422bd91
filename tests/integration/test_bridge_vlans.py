# SPDX-License-Identifier: Apache-2.0
"""VLANs of bridges and what ports are on them: as `bridge` shows them, as packets find them, changed in place, and kept against rivals."""
import pytest

from harness import wait_until
from machine import Machine
from test_promises import add_image

FILTERS = pytest.mark.needs("link:bridge vlan_filtering 1")
TRUNK = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: trunk0}
spec:
  vlanFiltering: true
  ports: [%s]
"""
OFFICE = """
---
apiVersion: weft/v1
kind: Network
metadata: {name: office}
spec: {mode: bridged, bridge: trunk0, vlan: 20}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: desk}
spec: {memory: {size: 32MiB}, disks: [{file: tiny.img, readOnly: true}], interfaces: [{network: office}], shutdownTimeout: 1s}
"""


def vlans(host, dev):
    """{id: flags} by `bridge`."""
    found = {}
    for entry in host.json("bridge", "-j", "vlan", "show", "dev", dev):
        for vlan in entry["vlans"]:
            for number in range(vlan["vlan"], vlan.get("vlanEnd", vlan["vlan"]) + 1):
                found[number] = set(vlan.get("flags", []))
    return found


def tagged(*ranges):
    return {number: set() for first, last in ranges for number in range(first, last + 1)}


ACCESS = {"PVID", "Egress Untagged"}


def port(host, dev):
    return host.links()[dev]["linkinfo"]["info_slave_data"]


@pytest.fixture
def wires():
    """Machines whose ports are the host's NICs: there before weftd, and there when all of weft's is gone."""
    made = []
    yield made
    for machine in made:
        machine.close()


@pytest.fixture
def host(wires, make_host):
    def connect(host):
        wires.extend(Machine(host) for _ in range(3))
        host.wait_quiet()
    return make_host(before=connect)


@FILTERS
def test_promise_03_vlans_change_in_place(host, wires):
    a, b, _ = (w.port for w in wires)
    host.apply(TRUNK % f"{{name: {a}, vlans: {{tagged: [10, 20-29], pvid: 1}}}}, {b}", "--wait=20s")
    assert vlans(host, a) == {1: ACCESS, **tagged((10, 10), (20, 29))}
    assert vlans(host, b) == {1: ACCESS} and vlans(host, "trunk0") == {1: ACCESS}
    before = {name: link["ifindex"] for name, link in host.links().items()}
    host.apply(TRUNK % f"{{name: {a}, vlans: {{tagged: [1, 25-35], untagged: 40, pvid: 20}}}}, {{name: {b}, vlans: {{tagged: 1-4094}}}}", "--wait=20s")
    assert vlans(host, a) == {20: ACCESS, 40: {"Egress Untagged"}, **tagged((1, 1), (25, 35))}
    assert vlans(host, b) == tagged((1, 4094))
    own = (TRUNK % f"{a}, {b}").replace("vlanFiltering: true", "vlanFiltering: true\n  defaultPvid: 7\n  vlans: {tagged: [30-31]}")
    host.apply(own, "--wait=20s")
    assert vlans(host, a) == vlans(host, b) == {7: ACCESS} and vlans(host, "trunk0") == tagged((30, 31))
    host.apply((TRUNK % f"{a}, {b}").replace("true", "false"), "--wait=20s")
    assert host.links()["trunk0"]["linkinfo"]["info_data"]["vlan_filtering"] == 0
    host.apply(TRUNK % f"{{name: {a}, vlans: {{pvid: 30}}}}, {b}", "--wait=20s")
    assert vlans(host, a) == {30: ACCESS} and vlans(host, b) == vlans(host, "trunk0") == {1: ACCESS}
    assert {name: link["ifindex"] for name, link in host.links().items()} == before


@FILTERS
@pytest.mark.lab_full
def test_vlans_that_a_rival_changes_are_set_back(host, wires):
    a, b, _ = (w.port for w in wires)
    host.apply(TRUNK % f"{{name: {a}, vlans: {{tagged: [10, 20-29], pvid: 1}}}}, {{name: {b}, vlans: {{pvid: 30}}}}", "--wait=20s")
    wanted = vlans(host, a)
    for rival in ("bridge vlan del dev {} vid 25", "bridge vlan add dev {} vid 99", "bridge vlan add dev {} vid 10 pvid untagged",
                  "bridge vlan del dev {} vid 1", "ip link set {} nomaster"):
        host.run(*rival.format(a).split())
        wait_until(lambda: vlans(host, a) == wanted and host.links()[a].get("master") == "trunk0", what=rival)
    host.run("bridge", "vlan", "del", "dev", "trunk0", "vid", "1", "self")
    wait_until(lambda: vlans(host, "trunk0") == {1: ACCESS})
    host.run("ip", "link", "del", "trunk0")
    wait_until(lambda: vlans(host, a) == wanted and vlans(host, b) == {30: ACCESS})
    assert wait_until(lambda: host.ready("bridge", "trunk0"))
    host.run("ip", "link", "set", "trunk0", "type", "bridge", "vlan_filtering", "0")
    wait_until(lambda: host.links()["trunk0"]["linkinfo"]["info_data"]["vlan_filtering"] == 1)


@FILTERS
def test_frames_keep_to_their_vlan(host, wires):
    """A trunk with tagged 20 and 30, and an access port in each: the two reach the trunk's end of their own VLAN, and neither the other nor the host."""
    trunk, in20, in30 = wires
    host.apply(TRUNK % f"{{name: {trunk.port}, vlans: {{tagged: [20-29, 30]}}}}, {{name: {in20.port}, vlans: {{pvid: 20}}}}, "
               f"{{name: {in30.port}, vlans: {{pvid: 30}}}}" + "  addresses: [10.20.0.9/24]\n", "--wait=20s")
    for number in (20, 30):
        trunk.run("ip", "link", "add", f"eth0.{number}", "link", "eth0", "type", "vlan", "id", number)
        trunk.run("ip", "addr", "add", f"10.{number}.0.1/24", "dev", f"eth0.{number}")
        trunk.run("ip", "link", "set", f"eth0.{number}", "up")
    in20.run("ip", "addr", "add", "10.20.0.2/24", "dev", "eth0")
    in30.run("ip", "addr", "add", "10.30.0.2/24", "dev", "eth0")
    in30.run("ip", "addr", "add", "10.20.0.3/24", "dev", "eth0")
    wait_until(lambda: in20.pings("10.20.0.1") and in30.pings("10.30.0.1"))
    assert not in20.pings("10.20.0.3") and not in30.pings("10.20.0.1") and not in20.pings("10.20.0.9"), "and to no other"


def test_ports_are_what_is_written(host, wires):
    a, b, c = (w.port for w in wires)
    host.apply(TRUNK.replace("  vlanFiltering: true\n", "") % f"{{name: {a}, isolated: true, learning: false, flood: false, multicastFlood: false, "
               f"broadcastFlood: false, hairpin: true, neighSuppress: true, bpduGuard: true, rootBlock: true, fastLeave: true, priority: 5, cost: 77}}, {b}",
               "--wait=20s")
    seen = port(host, a)
    off = ("learning", "flood", "mcast_flood", "bcast_flood")
    on = ("isolated", "hairpin", "neigh_suppress", "guard", "root_block", "fastleave")
    assert not any(seen[row] for row in off) and all(seen[row] for row in on), seen
    assert (seen["priority"], seen["cost"]) == (5, 77)
    plain = port(host, b)
    assert all(plain[row] for row in off) and not any(plain[row] for row in on), plain
    for rival in (f"bridge link set dev {a} isolated off", f"ip link set {a} type bridge_slave isolated off", f"ip link set {a} nomaster"):
        host.run(*rival.split())
        wait_until(lambda: port(host, a)["isolated"] and port(host, a)["cost"] == 77, what=rival)
    before = host.links()[a]["ifindex"]
    host.apply(TRUNK.replace("  vlanFiltering: true\n", "") % f"{a}, {b}", "--wait=20s")
    after = port(host, a)
    assert all(after[row] for row in off) and not any(after[row] for row in on) and host.links()[a]["ifindex"] == before


def test_isolated_ports_reach_only_others(host, wires):
    a, b, c = wires
    for number, machine in enumerate(wires):
        machine.run("ip", "addr", "add", f"10.9.0.{number + 1}/24", "dev", "eth0")
    host.apply(TRUNK.replace("  vlanFiltering: true\n", "") % f"{{name: {a.port}, isolated: true}}, {{name: {b.port}, isolated: true}}, {c.port}", "--wait=20s")
    wait_until(lambda: a.pings("10.9.0.3") and b.pings("10.9.0.3"))
    assert not a.pings("10.9.0.2") and not b.pings("10.9.0.1")


@FILTERS
@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_a_guest_on_a_bridged_network(make_host):
    """Its tap has the VLAN as PVID and no other, whatever others do to it; a change of the VLAN leaves the tap and the guest alone."""
    host = make_host(before=add_image)
    wire = "wire0"
    host.run("ip", "link", "add", wire, "type", "dummy")
    host.before = host.snapshot()
    text = TRUNK % f"{{name: {wire}, vlans: {{tagged: [10, 20-29], pvid: 1}}}}" + "  mtu: 1400\n" + OFFICE
    host.apply(text, "--wait=60s")
    tap = host.links()["desk.0"]
    assert tap["master"] == "trunk0" and tap["mtu"] == 1400 and vlans(host, "desk.0") == {20: ACCESS}
    pid = host.process("guest=desk,")
    for rival in ("bridge vlan add dev desk.0 vid 21", "bridge vlan add dev desk.0 vid 1 pvid untagged", "ip link set desk.0 nomaster"):
        host.run(*rival.split())
        wait_until(lambda: vlans(host, "desk.0") == {20: ACCESS} and host.links()["desk.0"].get("master") == "trunk0", what=rival)
    host.apply(text.replace("vlan: 20", "vlan: 21"), "--wait=60s")
    assert vlans(host, "desk.0") == {21: ACCESS}
    host.apply(text.replace(", vlan: 20", ""), "--wait=60s")
    assert vlans(host, "desk.0") == {1: ACCESS}
    assert host.links()["desk.0"]["ifindex"] == tap["ifindex"] and host.process("guest=desk,") == pid
    host.run("ip", "link", "del", "trunk0")
    wait_until(lambda: vlans(host, "desk.0") == {1: ACCESS} and host.links()["desk.0"].get("master") == "trunk0")
    refused = host.apply(text.replace("vlanFiltering: true", "vlanFiltering: false").replace(", vlans: {tagged: [10, 20-29], pvid: 1}", ""), check=False)
    assert refused.status == 2 and "does not filter VLANs" in refused.err


@FILTERS
@pytest.mark.lab_full
def test_a_bridge_that_is_not_wefts(host, wires):
    """A bridged network on somebody else's bridge: without VLANs there, a VLAN is refused, for it would mean nothing."""
    host.run("ip", "link", "add", "theirs", "type", "bridge")
    host.before = host.snapshot()
    network = "apiVersion: weft/v1\nkind: Network\nmetadata: {name: office}\nspec: {mode: bridged, bridge: theirs%s}\n"
    refused = host.apply(network % ", vlan: 20", check=False)
    assert refused.status == 2 and "'theirs' does not filter VLANs" in refused.err
    host.apply(network % "", "--wait=20s")
    host.run("ip", "link", "set", "theirs", "type", "bridge", "vlan_filtering", "1")
    host.apply(network % ", vlan: 20", "--wait=20s")
