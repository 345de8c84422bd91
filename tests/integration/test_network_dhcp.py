# SPDX-License-Identifier: Apache-2.0
"""Networks as their clients see them: addresses by DHCP and router advertisement, names, reservations; and that their dnsmasq is left alone when it can be,
and is back when it is gone. Clients are busybox's udhcpc, dig and rdisc6 in namespaces of their own."""
import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness import wait_until

LAN = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec:
  mode: nat
  addresses: [192.168.150.1/24, "fd42:150::1/64"]
  dhcp:
    range: 192.168.150.100-192.168.150.199
    lease: 1h
    hosts: [{mac: "52:54:00:00:00:0a", name: db, ip: 192.168.150.11}]
  dns: {domain: lan.test, records: [{name: gw, ip: 192.168.150.1}], upstream: [host]}
  ipv6: {mode: slaac, nat: true}
"""
QUIET = """
apiVersion: weft/v1
kind: Network
metadata: {name: quiet}
spec: {mode: isolated, addresses: [10.201.0.1/24, "fd42:201::1/64"], dhcp: {range: 10.201.0.10-10.201.0.99}}
"""
pytestmark = pytest.mark.needs("udhcpc", "dig", "rdisc6", "dnsmasq", "dhcp_release")
numbers = itertools.count()


class Client:
    """A machine on a network's bridge."""

    def __init__(self, host, bridge, mac):
        self.host, self.bridge = host, bridge
        number = next(numbers)
        self.ns, self.port = f"{host.ns}-c{number}", f"port{number}"
        self.script = host.scratch / "udhcpc"
        self.script.write_text('#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr replace $ip/24 dev eth0\n'
                               'echo "ip=$ip router=$router dns=$dns domain=$domain mtu=$mtu lease=$lease"\n')
        self.script.chmod(0o755)
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        subprocess.run(["ip", "-n", host.ns, "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.ns], check=True)
        self.run("ip", "link", "set", "lo", "up")
        self.set_mac(mac)
        self.plug()

    def plug(self):
        self.host.run("ip", "link", "set", self.port, "master", self.bridge, "up")

    def set_mac(self, mac):
        self.run("ip", "link", "set", "eth0", "down")
        self.run("ip", "addr", "flush", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "address", mac, "up")

    def run(self, *argv, check=True, timeout=30):
        done = subprocess.run(["ip", "netns", "exec", self.ns, *argv], capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def lease(self, *options):
        """What DHCP says, as a dict."""
        out = self.run("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "8", "-T", "1", "-O", "mtu", "-s", str(self.script), *options)
        return dict(re.findall(r"(\w+)=(\S*)", out))

    def resolve(self, name, server, *options):
        return self.run("dig", "+short", "+time=2", "+tries=2", f"@{server}", name, *options, check=False).split()

    def close(self):
        subprocess.run(["ip", "-n", self.host.ns, "link", "del", self.port], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.ns], capture_output=True)


@pytest.fixture
def plug(host):
    clients = []

    def make(bridge, mac):
        clients.append(Client(host, bridge, mac))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def dnsmasq(host):
    pids = [pid for pid, command in host.pids().items() if command.startswith("dnsmasq")]
    assert len(pids) == 1, pids
    return pids[0]


def test_nat_network_serves(host, plug):
    host.apply(LAN, "--wait=20s")
    known, unknown = plug("lan", "52:54:00:00:00:0a"), plug("lan", "52:54:00:00:00:0b")
    lease = known.lease()
    assert lease == {"ip": "192.168.150.11", "router": "192.168.150.1", "dns": "192.168.150.1", "domain": "lan.test", "mtu": "", "lease": "3600"}
    other = unknown.lease("-x", "hostname:other")["ip"]
    assert 100 <= int(other.rsplit(".", 1)[1]) <= 199
    for server in "192.168.150.1", "fd42:150::1":
        wait_until(lambda: known.resolve("gw.lan.test", server) == ["192.168.150.1"], what=f"{server} answers")
        assert known.resolve("db.lan.test", server) == ["192.168.150.11"]
        assert known.resolve("other.lan.test", server) == [other]
    assert known.resolve("unknown.lan.test", "192.168.150.1") == []
    advertised = known.run("rdisc6", "-1", "eth0")
    assert re.search(r"Prefix +: fd42:150::/64", advertised) and re.search(r"Recursive DNS server +: fd42:150::1\n", advertised)
    assert re.search(r"Router lifetime +: +1800 ", advertised) and re.search(r"DNS search list +: lan.test", advertised)
    wait_until(lambda: "fd42:150::" in known.run("ip", "-6", "addr", "show", "dev", "eth0"), what="the client makes its address")


def test_isolated_network_offers_no_way_out(host, plug):
    host.apply(QUIET, "--wait=20s")
    client = plug("quiet", "52:54:00:00:00:0b")
    lease = client.lease()
    assert lease["ip"].startswith("10.201.0.") and lease["router"] == "" and lease["dns"] == "10.201.0.1"
    assert re.search(r"Router lifetime +: +0 ", client.run("rdisc6", "-1", "eth0"))
    assert "REFUSED" in client.run("dig", "+time=2", "+tries=1", "@10.201.0.1", "example.org", check=False)


def test_promise_24_mtu_is_told(host, plug):
    host.apply(QUIET.replace("spec: {", "spec: {mtu: 1400, "), "--wait=20s")
    client = plug("quiet", "52:54:00:00:00:0b")
    assert client.lease()["mtu"] == "1400"
    assert re.search(r"MTU +: +1400 ", client.run("rdisc6", "-1", "eth0"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_promise_18_dnsmasq_is_supervised(host, plug, how):
    host.apply(LAN, "--wait=20s")
    client = plug("lan", "52:54:00:00:00:0b")
    address = client.lease()["ip"]
    before = dnsmasq(host)
    os.kill(before, how)
    wait_until(lambda: dnsmasq(host) != before, 10, "another dnsmasq")
    assert client.lease()["ip"] == address
    wait_until(lambda: any("dnsmasq" in (e.get("resource") or "") for e in host.events()), what="an event tells")


def test_dnsmasq_outlives_weftd_and_the_bridge(host, plug):
    host.apply(LAN, "--wait=20s")
    client = plug("lan", "52:54:00:00:00:0b")
    address, before = client.lease()["ip"], dnsmasq(host)
    host.restart(signal.SIGKILL)
    host.wait_ready("Network", "lan")
    assert dnsmasq(host) == before
    host.run("ip", "link", "del", "lan")
    wait_until(lambda: "192.168.150.1/24" in host.addresses().get("lan", ()), 10, "the bridge is back")
    client.plug()
    assert client.lease()["ip"] == address
    wait_until(lambda: client.resolve("gw.lan.test", "192.168.150.1") == ["192.168.150.1"], what="names by IPv4")
    wait_until(lambda: client.resolve("gw.lan.test", "fd42:150::1") == ["192.168.150.1"], what="names by IPv6")
    assert "fd42:150::/64" in client.run("rdisc6", "-1", "eth0")
    assert dnsmasq(host) == before


def test_edits_of_hosts_and_records_keep_dnsmasq(host, plug):
    host.apply(LAN, "--wait=20s")
    before = dnsmasq(host)
    client = plug("lan", "52:54:00:00:00:0b")
    client.lease()
    more = LAN.replace("hosts: [", 'hosts: [{mac: "52:54:00:00:00:0b", name: app, ip: 192.168.150.12}, ')
    more = more.replace("records: [", "records: [{name: www.example, ip: 192.0.2.1}, ")
    host.apply(more, "--wait=20s")
    wait_until(lambda: client.resolve("www.example", "192.168.150.1") == ["192.0.2.1"], what="the new record")
    assert client.lease()["ip"] == "192.168.150.12"
    assert dnsmasq(host) == before
    host.apply(LAN.replace("lease: 1h", "lease: 2h"), "--wait=20s")
    assert client.lease()["lease"] == "7200"
    assert dnsmasq(host) != before


def test_promise_18_a_reservation_wins(host, plug):
    host.apply(LAN, "--wait=20s")
    before = dnsmasq(host)
    rival, rightful = plug("lan", "52:54:00:00:00:0b"), plug("lan", "52:54:00:00:00:0c")
    address = rival.lease()["ip"]
    host.apply(LAN.replace("hosts: [", f'hosts: [{{mac: "52:54:00:00:00:0c", ip: {address}}}, '), "--wait=20s")
    assert rightful.lease()["ip"] == address
    assert rival.lease("-r", address)["ip"] != address
    assert dnsmasq(host) == before


def test_leases_are_listed(host, plug):
    host.apply(LAN, "--wait=20s")
    plug("lan", "52:54:00:00:00:0a").lease()
    leases = host.weft("lease", "list", "-o", "json").json()
    assert [(lease["network"], lease["ip"], lease["mac"], lease["hostname"]) for lease in leases] == [
        ("lan", "192.168.150.11", "52:54:00:00:00:0a", "db")]


def test_a_taken_port_is_told(host):
    holder = host.popen("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=")
    wait_until(lambda: ":53 " in host.run("ss", "-lnu"), what="somebody has port 53")
    host.apply(QUIET)
    said = wait_until(lambda: host.condition("Network", "quiet").get("message", ""), what="a condition")
    wait_until(lambda: "ddress already in use" in host.condition("Network", "quiet").get("message", ""), what="the port is named")
    assert said
    holder.terminate()
    holder.wait()
    host.wait_ready("Network", "quiet", 70)


def test_a_clients_file_is_put_back(host, plug):
    host.apply(LAN, "--wait=20s")
    files = host.root / "lib/networks/lan/hosts"
    client = plug("lan", "52:54:00:00:00:0a")
    kept, before = (files / "db").read_text(), dnsmasq(host)
    (files / "db").unlink()
    wait_until(lambda: (files / "db").read_text() == kept, 10, "the file is back")
    (files / "db").write_text("52:54:00:00:00:0a,192.168.150.66\n")
    wait_until(lambda: (files / "db").read_text() == kept, 10, "the file is right again")
    assert client.lease()["ip"] == "192.168.150.11"
    assert dnsmasq(host) == before


GUEST = """
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {memory: {size: 128MiB}, boot: {order: [network]}, interfaces: [lan]}
"""


@pytest.mark.needs("qemu-system-x86_64", "/usr/lib/ipxe/qemu/efi-virtio.rom")
def test_promise_18_a_lease_goes_with_its_guest(host):
    """The guest is the network card's own boot program, which asks for an address and finds nothing to boot."""
    lan = LAN.replace("hosts: [", "hosts: [{name: web, ip: 192.168.150.10}, ")
    host.apply(lan + "---" + GUEST, "--wait=60s")
    before = dnsmasq(host)

    def leases():
        return [(lease["ip"], lease["guest"], lease["hostname"]) for lease in host.weft("lease", "list", "-o", "json").json()]

    wait_until(lambda: leases() == [("192.168.150.10", "web", "web")], 60, "the guest has its address")
    host.weft("delete", "--now", "--wait=30s", "Guest/web")
    assert leases() == []
    assert dnsmasq(host) == before


def test_the_hosts_resolver_is_asked(make_host, request):
    etc = []

    def resolver(host):
        etc.append(Path("/etc/netns") / host.ns)
        etc[0].mkdir(parents=True)
        (etc[0] / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        host.popen("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
                   "--listen-address=127.0.0.1", "--bind-interfaces", "--host-record=example.org,192.0.2.7")

    request.addfinalizer(lambda: [shutil.rmtree(path) for path in etc])
    hosts_own = Path("/etc/resolv.conf")
    if not hosts_own.exists():  # what `ip netns exec` lays the namespace's over
        hosts_own.touch()
        request.addfinalizer(hosts_own.unlink)
    host = make_host(before=resolver)
    host.apply(LAN, "--wait=20s")
    client = Client(host, "lan", "52:54:00:00:00:0a")
    try:
        client.lease()
        assert client.resolve("example.org", "192.168.150.1") == ["192.0.2.7"]
    finally:
        client.close()
