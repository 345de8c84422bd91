# SPDX-License-Identifier: Apache-2.0
"""The golden texts of the firewall carry real packets: a host with a NAT network and an isolated one, guests on both and
somebody outside, each a network namespace. weft itself does not run here; what is tested is what the rules mean."""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import uuid

import pytest

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "firewall"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
while True:
    c, peer = s.accept()
    c.sendall(peer[0].encode())
    c.close()
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5) as s:
    print(s.recv(100).decode())
"""


class Fabric:
    """Host `h`; guests `g1`, `g2` on bridge quickstart, `i1` on bridge isolated; `out` beyond the host."""

    def __init__(self, stack):
        self.id = "wf" + uuid.uuid4().hex[:6]
        self.stack = stack
        for name in ("h", "g1", "g2", "i1", "out"):
            self.sh(f"ip netns add {self.id}-{name}")
            stack.callback(subprocess.run, ["ip", "netns", "del", f"{self.id}-{name}"], check=False)
            self.run(name, "ip link set lo up")
            self.run(name, "sysctl -qw net.ipv6.conf.default.accept_dad=0")
        for bridge, addresses in (("quickstart", ("192.168.150.1/24", "fd42:150::1/64")), ("isolated", ("10.201.0.1/24",))):
            self.run("h", f"ip link add {bridge} type bridge forward_delay 0")
            self.run("h", f"ip link set {bridge} up")
            for address in addresses:
                self.run("h", f"ip addr add {address} dev {bridge} {'nodad' if ':' in address else ''}")
        self.plug("g1", "quickstart", ["192.168.150.10/24", "fd42:150::10/64"], ["192.168.150.1", "fd42:150::1"])
        self.plug("g2", "quickstart", ["192.168.150.11/24", "fd42:150::11/64"], ["192.168.150.1", "fd42:150::1"])
        self.plug("i1", "isolated", ["10.201.0.10/24", "fd77::10/64"], ["10.201.0.1"])
        self.plug("out", None, ["10.99.0.2/24", "fd99::2/64"], ["10.99.0.1", "fd99::1"])
        self.run("h", "ip addr add 10.99.0.1/24 dev v-out")
        self.run("h", "ip addr add fd99::1/64 dev v-out nodad")
        self.run("h", "ip -6 addr add fd77::1/64 dev v-out nodad")
        link_local = self.run("h", "ip -6 -br addr show dev isolated scope link").split()[2].split("/")[0]
        self.run("i1", f"ip -6 route add default via {link_local} dev eth0")
        self.link_local = link_local
        for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding", "ipv4.conf.quickstart.route_localnet"):
            self.run("h", f"sysctl -qw net.{key}=1")
        # With bridge-nf a guest that calls itself by a forwarded port would be bridged back to its own port, and dropped.
        for key in ("iptables", "ip6tables"):
            if os.path.exists(f"/proc/sys/net/bridge/bridge-nf-call-{key}"):
                self.run("h", f"sysctl -qw net.bridge.bridge-nf-call-{key}=0")

    @staticmethod
    def sh(command):
        return subprocess.run(command.split(), check=True, capture_output=True, text=True, timeout=20).stdout

    def run(self, where, command):
        return self.sh(f"ip netns exec {self.id}-{where} {command}")

    def plug(self, name, bridge, addresses, gateways):
        self.run("h", f"ip link add v-{name} type veth peer name eth0 netns {self.id}-{name}")
        if bridge:
            self.run("h", f"ip link set v-{name} master {bridge}")
        self.run("h", f"ip link set v-{name} up")
        self.run(name, "ip link set eth0 up")
        for address in addresses:
            self.run(name, f"ip addr add {address} dev eth0 {'nodad' if ':' in address else ''}")
        for gateway in gateways:
            self.run(name, f"ip {'-6' if ':' in gateway else '-4'} route add default via {gateway}")

    def load(self, backend, plan):
        text = (GOLDEN / f"{plan}.txt").read_text()
        four, six = re.split(r"^# ip6?tables-restore\n", text, flags=re.M)[1:]
        for program, rules in ((f"iptables-{backend}-restore", four), (f"ip6tables-{backend}-restore", six)):
            subprocess.run(["ip", "netns", "exec", f"{self.id}-h", program, "--noflush"], input=rules, text=True, check=True,
                           timeout=20, stderr=subprocess.DEVNULL)

    def serve(self, where, address, port):
        server = subprocess.Popen(["ip", "netns", "exec", f"{self.id}-{where}", sys.executable, "-c", SERVER, address,
                                   str(port)], stdout=subprocess.PIPE, text=True)
        self.stack.callback(server.wait)
        self.stack.callback(server.kill)
        assert server.stdout.readline() == "ready\n"

    def ask(self, where, address, port):
        """What the server saw as its client's address; None if it was not reached."""
        client = subprocess.run(["ip", "netns", "exec", f"{self.id}-{where}", sys.executable, "-c", CLIENT, address,
                                 str(port)], capture_output=True, text=True, timeout=20)
        return client.stdout.strip() if client.returncode == 0 else None

    def pings(self, where, address):
        return subprocess.run(["ip", "netns", "exec", f"{self.id}-{where}", "ping", "-c1", "-W1", address],
                              capture_output=True, timeout=20).returncode == 0


@pytest.fixture(params=["nft", "legacy"])
def fabric(request):
    with contextlib.ExitStack() as stack:
        fabric = Fabric(stack)
        for table in ("iptables", "ip6tables"):
            for chain in ("INPUT", "FORWARD"):
                fabric.run("h", f"{table}-{request.param} -P {chain} DROP")
        # What every strict host has, and pings so that refusals can be told from a dead network.
        for table, echo in (("iptables", "icmp"), ("ip6tables", "ipv6-icmp")):
            fabric.run("h", f"{table}-{request.param} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
            fabric.run("h", f"{table}-{request.param} -A INPUT -i lo -j ACCEPT")
            fabric.run("h", f"{table}-{request.param} -A INPUT -p {echo} -j ACCEPT")
        for plan in ("isolated", "quickstart"):
            fabric.load(request.param, plan)
        yield fabric


def test_nat(fabric):
    fabric.serve("out", "10.99.0.2", 7000)
    fabric.serve("out", "fd99::2", 7000)
    fabric.serve("g1", "192.168.150.10", 7001)
    assert fabric.ask("g1", "10.99.0.2", 7000) == "10.99.0.1"
    assert fabric.ask("g1", "fd99::2", 7000) == "fd99::1"
    assert fabric.ask("g2", "192.168.150.10", 7001) == "192.168.150.11"
    assert fabric.ask("out", "192.168.150.10", 7001) is None, "behind NAT, not to be reached by a neighbour with a route"


def test_forwarded_port(fabric):
    fabric.serve("g1", "192.168.150.10", 80)
    assert fabric.ask("out", "10.99.0.1", 8080) == "10.99.0.2"
    assert fabric.ask("h", "10.99.0.1", 8080)
    assert fabric.ask("h", "127.0.0.1", 8080) == "192.168.150.1"
    assert fabric.ask("g2", "192.168.150.1", 8080) == "192.168.150.1"
    assert fabric.ask("g1", "10.99.0.1", 8080) == "192.168.150.1", "a guest calls itself by the host's address"
    assert fabric.ask("i1", "10.201.0.1", 8080) is None, "isolated stays isolated"


def test_localnet_is_not_for_guests(fabric):
    fabric.serve("h", "127.0.0.1", 7002)
    fabric.run("h", "sysctl -qw net.ipv4.conf.quickstart.route_localnet=1")
    fabric.run("g1", "sysctl -qw net.ipv4.conf.eth0.route_localnet=1")
    fabric.run("g1", "ip addr del 127.0.0.1/8 dev lo")
    fabric.run("g1", "ip route add 127.0.0.1/32 via 192.168.150.1 src 192.168.150.10")
    assert fabric.ask("h", "127.0.0.1", 7002) == "127.0.0.1"
    assert fabric.ask("g1", "127.0.0.1", 7002) is None


def test_isolated(fabric):
    assert fabric.pings("i1", "10.201.0.1")
    assert fabric.pings("i1", f"{fabric.link_local}%eth0")
    for beyond in ("10.99.0.1", "10.99.0.2", "192.168.150.1", "192.168.150.10", "fd99::1", "fd99::2", "fd42:150::1",
                   "fd42:150::10"):
        assert not fabric.pings("i1", beyond), beyond
    assert fabric.pings("g1", "10.99.0.2")
    assert not fabric.pings("g1", "10.201.0.10")
    assert not fabric.pings("out", "10.201.0.10")
