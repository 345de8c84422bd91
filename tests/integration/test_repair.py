# SPDX-License-Identifier: Apache-2.0
"""What others break is back without an apply, because an event told of it, and an event of ours tells what was lost. Promises 1 and 5."""
import os
import re
import signal
import time

import pytest

from harness import EXAMPLES, wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "nft")
QUICKSTART = re.sub(r"(?m)^  boot:.*\n.*cmdline.*\n", "  shutdownTimeout: 1s\n", (EXAMPLES / "quickstart.yaml").read_text())
BACK_IN_S = 5  # generous: a second is promised


@pytest.fixture
def host(make_host):
    host = make_host()
    host.apply(QUICKSTART, "--wait=30s")
    return host


def look(host):
    """The host, but for which instance of a link or a process it is."""
    seen = host.snapshot()
    for link in seen["links"].values():
        del link["ifindex"], link["address"]
    seen["processes"] = sorted(command.split()[0].split("/")[-1] for command in seen["processes"])
    return seen


def break_it(host, *command, resource, by=None, check=True):
    """Runs a command that breaks something, waits until all is as it was, and until a Repaired event names the resource (and who did it)."""
    before, n_events = look(host), len(host.events())
    if callable(command[0]):
        command[0]()
    else:
        host.run(*command, check=check)
    begun = time.monotonic()
    repaired = wait_until(lambda: [e for e in host.events()[n_events:] if e["type"] == "Repaired" and re.match(resource, e.get("resource", ""))],
                          BACK_IN_S, f"an event of {resource}")
    host.check_as(before, BACK_IN_S, look)
    print(f"{command}: back in {time.monotonic() - begun:.2f} s: {repaired[0]['text']}")
    if by:
        assert any(by in e["text"] for e in repaired), repaired
    assert host.weft("history", "-o", "json").json()[0]["revision"] == 1
    assert host.ready("network", "lan")
    wait_until(lambda: host.ready("guest", "web"), what="the guest is Ready")
    return repaired


def test_promise_01_flushed_rules(host):
    break_it(host, "iptables", "-F", resource="rules/ipv4/filter/lan", by="iptables")
    break_it(host, "iptables", "-t", "nat", "-F", resource="rules/ipv4/nat/lan", by="iptables")
    break_it(host, "ip6tables", "-t", "mangle", "-F", resource="rules/ipv6/mangle/lan")
    break_it(host, "nft", "flush", "ruleset", resource="rules/ipv4/nat/lan", by="nft")


def test_promise_01_a_single_rule(host):
    jump = [r for r in host.rules("iptables-save", "-t", "filter") if r.startswith("-A FORWARD")][0]
    break_it(host, "iptables", "-D", *jump.replace('"', "").split()[1:], resource="rules/ipv4/filter/lan")
    break_it(host, "iptables", "-I", "WEFT-FWD-lan", "-j", "DROP", resource="rules/ipv4/filter/lan")


def test_promise_05_links(host):
    break_it(host, "ip", "link", "del", "lan", resource="link/lan")
    break_it(host, "ip", "link", "del", "web.0", resource="link/web.0")
    break_it(host, "ip", "link", "set", "web.0", "nomaster", resource="link/web.0")
    break_it(host, "ip", "link", "set", "lan", "down", resource="link/lan")
    break_it(host, "ip", "link", "set", "lan", "mtu", "1300", resource="link/lan")


def test_promise_05_addresses(host):
    break_it(host, "ip", "addr", "del", "192.168.150.1/24", "dev", "lan", resource="address/lan/192.168.150.1/24")
    break_it(host, "ip", "addr", "flush", "dev", "lan", "scope", "global", resource="address/lan/fd42:150::1/64")


def test_sysctls(host):
    break_it(host, "sysctl", "-qw", "net.ipv4.ip_forward=0", resource="forwarding/ipv4")
    break_it(host, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=0", resource="forwarding/ipv6")
    break_it(host, "sysctl", "-qw", "net.ipv4.conf.lan.forwarding=0", resource="sysctl/net/ipv4/conf/lan/forwarding")


def test_promise_18_dnsmasq(host):
    break_it(host, lambda: os.kill(host.process("^dnsmasq"), signal.SIGKILL), resource="dnsmasq/lan")


def test_qemu(host):
    pid = host.process("guest=web,")
    break_it(host, lambda: os.kill(pid, signal.SIGKILL), resource="qemu/web")
    assert host.process("guest=web,") != pid


def test_everything_at_once(host):
    before = look(host)
    os.kill(host.process("^dnsmasq"), signal.SIGKILL)
    host.run("nft", "flush", "ruleset")
    host.run("ip", "link", "del", "web.0")
    host.run("ip", "link", "del", "lan")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    host.check_as(before, BACK_IN_S, look)


def test_what_breaks_while_weftd_is_away(host):
    before = look(host)
    host.stop(signal.SIGKILL)
    host.run("iptables", "-F")
    host.run("ip", "link", "del", "lan")
    os.kill(host.process("^dnsmasq"), signal.SIGKILL)
    os.kill(host.process("guest=web,"), signal.SIGKILL)
    host.start()
    host.check_as(before, 2 * BACK_IN_S, look)


def test_idle_costs_nothing(host):
    """Nothing is polled: weftd at rest uses no processor time, with a follower of events attached too."""
    host.popen(host.weft_program, "--socket", host.root / "run/weft.sock", "events", "--follow", stdout=open(os.devnull, "w"))
    time.sleep(0.5)
    pid = host.weftd_pid()
    before = host.cpu_seconds(pid)
    time.sleep(2)
    assert host.cpu_seconds(pid) - before < 0.1
