# SPDX-License-Identifier: Apache-2.0
"""Machines around a host: network namespaces with one link, eth0, whose other end is a port of a bridge of the host (a guest as far as the network can tell),
or a link of the host by itself (somebody outside)."""
import contextlib
import itertools
import re
import subprocess
import sys

import netns

numbers = itertools.count()

SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
while True:
    c, peer = s.accept()
    with c:
        c.sendall(peer[0].encode())
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2) as s:
    print(s.recv(100).decode())
"""
LEASE_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace $ip/24 dev eth0
[ -z "$router" ] || ip route replace default via $router
echo "ip=$ip router=$router dns=$dns domain=$domain mtu=$mtu lease=$lease"
"""


class Machine:
    """Its commands run in a namespace of its own; `port` is the host's end of its link."""

    def __init__(self, host, bridge=None, mac=None):
        number = next(numbers)
        self.host, self.bridge = host, bridge
        self.ns, self.port = f"{host.ns}-m{number}", f"port{number}"
        self.servers = []
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        subprocess.run(["ip", "-n", host.ns, "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.ns], check=True)
        self.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.eth0.accept_dad=0")
        self.run("ip", "link", "set", "lo", "up")
        if mac:
            self.run("ip", "link", "set", "eth0", "address", mac)
        self.run("ip", "link", "set", "eth0", "up")
        self.plug()

    def plug(self):
        """Puts the host's end where it belongs (again, after its bridge was gone)."""
        if self.bridge:
            self.host.run("ip", "link", "set", self.port, "master", self.bridge)
        self.host.run("ip", "link", "set", self.port, "up")

    def run(self, *argv, check=True, timeout=30):
        return netns.run(self.ns, *argv, check=check, timeout=timeout)

    def lease(self, *options):
        """What DHCP says, as a dict."""
        script = self.host.scratch / "machine-lease"
        if not script.exists():
            script.write_text(LEASE_SCRIPT)
            script.chmod(0o755)
        out = self.run("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "8", "-T", "1", "-O", "mtu", "-s", script, *options)
        return dict(re.findall(r"(\w+)=(\S*)", out))

    def resolve(self, name, server, *options):
        return self.run("dig", "+short", "+time=2", "+tries=2", f"@{server}", name, *options, check=False).split()

    def pings(self, address):
        done = subprocess.run(["ip", "netns", "exec", self.ns, "ping", "-n", "-c1", "-W1", address], capture_output=True, timeout=20)
        return done.returncode == 0

    def get(self, url):
        """The page, "" if there is none."""
        return self.run("curl", "-s", "-m3", "-g", url, check=False)

    def serve(self, address, port):
        """Tells whoever connects from where it seems to come."""
        server = subprocess.Popen(["ip", "netns", "exec", self.ns, sys.executable, "-c", SERVER, address, str(port)],
                                  stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        assert server.stdout.readline() == "ready\n"

    def ask(self, address, port):
        """As what address a server sees this machine; None if it cannot be reached."""
        client = subprocess.run(["ip", "netns", "exec", self.ns, sys.executable, "-c", CLIENT, address, str(port)],
                                capture_output=True, text=True, timeout=20)
        return client.stdout.strip() if client.returncode == 0 else None

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait()
        subprocess.run(["ip", "-n", self.host.ns, "link", "del", self.port], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.ns], capture_output=True)


@contextlib.contextmanager
def machines(host):
    """A function that makes machines on bridges of the host; they go at the end."""
    made = []

    def plug(bridge, mac=None):
        made.append(Machine(host, bridge, mac))
        return made[-1]

    try:
        yield plug
    finally:
        for machine in made:
            machine.close()


@contextlib.contextmanager
def outside(host):
    """Somebody beyond the host: 10.99.0.2 and fd99::2, with the host (10.99.0.1, fd99::1) for its router."""
    machine = Machine(host)
    try:
        host.run("ip", "addr", "add", "10.99.0.1/24", "dev", machine.port)
        host.run("ip", "addr", "add", "fd99::1/64", "dev", machine.port, "nodad")
        machine.run("ip", "addr", "add", "10.99.0.2/24", "dev", "eth0")
        machine.run("ip", "addr", "add", "fd99::2/64", "dev", "eth0", "nodad")
        machine.run("ip", "route", "add", "default", "via", "10.99.0.1")
        machine.run("ip", "-6", "route", "add", "default", "via", "fd99::1")
        yield machine
    finally:
        machine.close()
