# SPDX-License-Identifier: Apache-2.0
"""A DHCP server on the far side of a host's link: dnsmasq in a namespace of its own, with IPv4, DHCPv6 and router advertisements."""
import subprocess

from harness import wait_until


class Server:
    """The link `nic` of the host leads to it; nothing is set up there."""

    def __init__(self, host, nic="eth0"):
        self.ns, self.host, self.nic = f"{host.ns}-server" + nic.removeprefix("eth0"), host, nic
        self.leases, self.log = host.scratch / f"server-leases-{nic}", host.scratch / f"server-{nic}.log"
        self.dnsmasq = None
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        host.run("ip", "link", "add", nic, "type", "veth", "peer", "name", "srv", "netns", self.ns)
        for command in ("link set lo up", "link set srv up", "addr add 10.9.0.1/24 dev srv", "addr add fd09::1/64 dev srv nodad"):
            self.run("ip", *command.split())
        for link in nic, "default":  # or the kernel would take routes at times of its own, also on a bridge that is made of it
            host.run("sysctl", "-qw", f"net.ipv6.conf.{link}.accept_ra=0")
        host.run("ip", "link", "set", nic, "up")
        self.serve()

    def run(self, *argv, check=True):
        done = subprocess.run(["ip", "netns", "exec", self.ns, *map(str, argv)], capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def serve(self, first=50, last=99, lease="2m"):
        """Begins to serve, with another range if so said."""
        self.stop()
        log = open(self.log, "ab")
        self.dnsmasq = subprocess.Popen(
            ["ip", "netns", "exec", self.ns, "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--port=0", "--interface=srv",
             "--conf-file=/dev/null", "--user=root", "--pid-file=", f"--dhcp-leasefile={self.leases}", "--dhcp-authoritative",
             f"--dhcp-range=10.9.0.{first},10.9.0.{last},{lease}", f"--dhcp-range=fd09::{first},fd09::{last},64,{lease}", "--enable-ra"],
            stdout=log, stderr=log)
        log.close()
        wait_until(lambda: ":67 " in self.run("ss", "-uln"), what="the server serves")

    def stop(self):
        if self.dnsmasq:
            self.dnsmasq.kill()
            self.dnsmasq.wait()
        self.dnsmasq = None

    def forget(self):
        """It knows nobody any more."""
        self.stop()
        self.leases.unlink(missing_ok=True)

    def said(self, word):
        """How often it has said that so far."""
        return self.log.read_text(errors="replace").count(word)

    def lent(self):
        """{IPv4 address: MAC}"""
        lines = [line.split() for line in self.leases.read_text().splitlines()] if self.leases.exists() else []
        return {line[2]: line[1] for line in lines if len(line) > 4 and "." in line[2]}

    def answers(self, address):
        return "1 received" in self.run("ping", "-n", "-c", "1", "-W", "1", address, check=False)

    def close(self):
        self.stop()
        subprocess.run(["ip", "netns", "del", self.ns])
