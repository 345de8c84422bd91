# SPDX-License-Identifier: Apache-2.0
"""A network in mode routed: guests reach others, and others them, under their own addresses; the host serves them as it does behind NAT."""
import pytest

from harness import wait_until

pytestmark = pytest.mark.needs("dnsmasq", "udhcpc", "dig", "iptables")
DMZ = """
apiVersion: weft/v1
kind: Network
metadata: {name: dmz}
spec:
  mode: routed
  addresses: [10.5.0.1/24, "fd05::1/64"]
  dhcp: {range: 10.5.0.10-10.5.0.60}
  ipv6: {mode: none}
  dns: {domain: dmz.test, records: [{name: gw, ip: 10.5.0.1}]}
"""


def test_both_ways_under_their_own_addresses(host, plug, outside):
    for table in "iptables", "ip6tables":
        host.run(table, "-P", "FORWARD", "DROP")
    host.apply(DMZ, "--wait=20s")
    guest = plug("dmz")
    lease = guest.lease()
    assert lease["router"] == "10.5.0.1" and guest.resolve("gw.dmz.test", "10.5.0.1") == ["10.5.0.1"]
    guest.run("ip", "-6", "addr", "add", "fd05::10/64", "dev", "eth0", "nodad")
    guest.run("ip", "-6", "route", "add", "default", "via", "fd05::1")
    for mine, theirs in ((lease["ip"], "10.99.0.2"), ("fd05::10", "fd99::2")):
        outside.serve(theirs, 7001)
        guest.serve(mine, 7002)
        assert wait_until(lambda: guest.ask(theirs, 7001)) == mine, "nothing is translated"
        assert outside.ask(mine, 7002) == theirs, "and whoever has a route comes in"
    assert not [rule for rule in host.rules() if "MASQUERADE" in rule or "DNAT" in rule]
    for table in "iptables", "ip6tables":
        host.run(table, "-P", "FORWARD", "ACCEPT")


def test_from_nat_to_routed_and_back_in_place(host, plug):
    host.apply(DMZ, "--wait=20s")
    bridge, dnsmasq = host.links()["dmz"]["ifindex"], host.process("dnsmasq")
    host.apply(DMZ.replace("routed", "nat"), "--wait=20s")
    assert any("MASQUERADE" in rule for rule in host.rules())
    host.apply(DMZ, "--wait=20s")
    assert not any("MASQUERADE" in rule for rule in host.rules())
    assert host.links()["dmz"]["ifindex"] == bridge and host.process("dnsmasq") == dnsmasq
