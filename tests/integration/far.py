# SPDX-License-Identifier: Apache-2.0
"""The far side of a host's NIC: a namespace of its own, which is the host's gateway, and from which it is pinged."""
import contextlib
import re
import signal
import subprocess
import time

import netns

ADDRESSES = ("192.0.2.10", "2001:db8:2::10")
# What far says it is: on the link, and behind the gateway.
SOURCES = {"192.0.2.10": ("192.0.2.1", "198.51.100.1"), "2001:db8:2::10": ("2001:db8:2::1", "2001:db8:9::1")}


class Far:
    """Made before weftd: the NIC `nic` of the host with its addresses and routes, and the far side of it."""

    def __init__(self, host, nic="eth3"):
        self.ns, self.nic, self.host = f"{host.ns}-far", nic, host
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        host.run("ip", "link", "add", nic, "type", "veth", "peer", "name", "far3", "netns", self.ns)
        for command in ("link set lo up", "link set far3 up", "addr add 192.0.2.1/24 dev far3", "addr add 2001:db8:2::1/64 dev far3 nodad",
                        "addr add 198.51.100.1/32 dev lo", "addr add 2001:db8:9::1/128 dev lo"):
            self.run("ip", *command.split())
        for command in (f"link set {nic} up", f"addr add 192.0.2.10/24 brd + dev {nic} label {nic}:0", f"addr add 192.0.2.11/24 dev {nic}",
                        f"addr add 2001:db8:2::10/64 dev {nic} nodad", f"addr add 2001:db8:2::11/64 dev {nic} nodad home",
                        "route add default via 192.0.2.1 proto static", "route add default via 2001:db8:2::1 proto static metric 512",
                        f"route add 203.0.113.0/24 via 192.0.2.1 dev {nic} metric 77 mtu 1300 initcwnd 20", f"route add 100.64.0.0/24 dev {nic} table 100"):
            host.run("ip", *command.split())
        self.wait_for_answers()
        for _ in range(200):  # comes with the carrier, which the kernel may take a second to see; what is there now is what has to be there at the end
            if "fe80::/64" in host.run("ip", "-6", "route", "show", "dev", nic):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"{nic} has no link-local address")

    def run(self, *argv, check=True):
        return netns.run(self.ns, *argv, check=check)

    def answers(self, address="192.0.2.10"):
        return "1 received" in self.run("ping", "-n", "-c", "1", "-W", "1", address, check=False)

    def wait_for_answers(self):
        for address in ADDRESSES:
            for _ in range(30):
                if self.answers(address):
                    break
            else:
                raise AssertionError(f"{address} does not answer")

    @contextlib.contextmanager
    def pings(self):
        """Pings the host's addresses 20 times a second meanwhile, from both sides of the gateway; then `lost` tells how many were."""
        pings = {(address, source): subprocess.Popen(
            ["ip", "netns", "exec", self.ns, "ping", "-n", "-q", "-i", "0.05", "-I", source, address], stdout=subprocess.PIPE, text=True)
            for address in ADDRESSES for source in SOURCES[address]}
        lost = {}
        try:
            yield lost
        finally:
            for key, process in pings.items():
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=20)[0]
                sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())
                lost[key] = sent - received
                print(f"{key}: {received} of {sent} answered")

    def close(self):
        subprocess.run(["ip", "netns", "del", self.ns])
