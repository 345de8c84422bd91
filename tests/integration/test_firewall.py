# SPDX-License-Identifier: Apache-2.0
"""Firewall rules under a running weftd: flushed, edited, beside other people's, with both sorts of iptables, and with firewalld."""
import re
import subprocess
import time

import pytest

from harness import wait_until

NETWORKS = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec:
  mode: nat
  addresses: [192.168.150.1/24, "fd42:150::1/64"]
  ipv6: {mode: slaac, nat: true}
  forwards: [{listen: "0.0.0.0:8080", proto: tcp, to: "192.168.150.10:80"}]
---
apiVersion: weft/v1
kind: Network
metadata: {name: quiet}
spec: {mode: isolated, addresses: [10.201.0.1/24], dhcp: {range: 10.201.0.10-10.201.0.99}}
"""


def saved(host, backend="nft"):
    """Rules of both families without counters and the empty built-in tables."""
    text = "".join(host.run(f"{program}-{backend}-save") for program in ("iptables", "ip6tables"))
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in text.splitlines() if line.startswith(("-A", ":WEFT"))]


def weft_lines(host, backend="nft"):
    return [line for line in saved(host, backend) if "WEFT" in line]


def handles(host, family, table):
    """{rule text: handle} as nft has them."""
    found = {}
    for line in host.run("nft", "-a", "-s", "list", "table", family, table).splitlines():
        match = re.match(r"\s*(.*) # handle (\d+)$", line)
        if match:
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.fixture
def lan(host):
    host.run("iptables-nft", "-A", "FORWARD", "-s", "10.9.9.9", "-j", "ACCEPT")
    host.run("nft", "add table inet theirs; add chain inet theirs c; add rule inet theirs c counter")
    host.before = host.snapshot()
    host.apply(NETWORKS)
    host.wait_ready("Network", "lan")
    host.wait_ready("Network", "quiet")
    return host


def test_nat_stands_in_a_chain_of_its_own(lan):
    assert "-A WEFT-POST-lan -s 192.168.150.0/24 ! -o lan -j MASQUERADE" in saved(lan)
    assert "-A WEFT-POST-lan -s fd42:150::/64 ! -o lan -j MASQUERADE" in saved(lan)
    assert "-A FORWARD -s 10.9.9.9/32 -j ACCEPT" in saved(lan)


@pytest.mark.parametrize("flush", ["nft flush ruleset", "iptables-nft -F", "iptables-nft -t nat -F POSTROUTING",
                                   "nft delete table ip6 filter"])
def test_promise_01_flushed_rules_are_back_within_a_second(host, flush):
    host.apply(NETWORKS, "--wait")
    before = sorted(weft_lines(host))
    time.sleep(0.5)
    host.run(*flush.split())
    start = time.monotonic()
    wait_until(lambda: sorted(weft_lines(host)) == before, 20, "the rules are back")
    print(f"{flush}: back after {time.monotonic() - start:.3f} s")
    who = "nft" if flush.startswith("nft") else "iptables"
    wait_until(lambda: any(re.search(rf"removed by {who}\S* \(pid \d+\)", str(e)) for e in host.events()), 20,
               "an event names who did it")


def test_promise_02_an_edit_touches_its_own_chain_only(lan):
    before = {table: handles(lan, "ip", table) for table in ("nat", "mangle", "filter")}
    lan.apply(NETWORKS.replace("8080", "8081"), "--wait")
    after = {table: handles(lan, "ip", table) for table in ("nat", "mangle", "filter")}
    assert before["mangle"] == after["mangle"] and before["filter"] == after["filter"]
    changed = {text for text in before["nat"].keys() | after["nat"].keys() if before["nat"].get(text) != after["nat"].get(text)}
    assert changed and all("dnat to" in text for text in changed), changed


def test_what_others_drop_is_said(lan):
    assert lan.condition("Network", "quiet", "Degraded").get("status") != "True"
    lan.run("nft", "add table inet strict; add chain inet strict input { type filter hook input priority 0; policy drop; }")
    wait_until(lambda: lan.condition("Network", "quiet", "Degraded").get("status") == "True")
    message = lan.condition("Network", "quiet", "Degraded")["message"]
    assert "'input'" in message and "'inet strict'" in message, message
    lan.run("nft", "insert rule inet strict input iifname quiet accept")
    wait_until(lambda: lan.condition("Network", "quiet", "Degraded").get("status") != "True")
    lan.run("nft", "delete table inet strict")


@pytest.mark.lab
@pytest.mark.needs("iptables-legacy")
def test_legacy_is_used_where_the_rules_are(make_host):
    host = make_host(before=lambda h: h.run("iptables-legacy", "-A", "FORWARD", "-s", "10.9.9.9", "-j", "ACCEPT"))
    host.apply(NETWORKS)
    host.wait_ready("Network", "lan")
    assert weft_lines(host, "nft") == []
    before = sorted(weft_lines(host, "legacy"))
    assert "-A WEFT-POST-lan -s 192.168.150.0/24 ! -o lan -j MASQUERADE" in before
    host.run("iptables-legacy", "-t", "nat", "-F")
    wait_until(lambda: sorted(weft_lines(host, "legacy")) == before, 30, "the rules are back")
    host.delete_all()
    wait_until(lambda: saved(host, "legacy") == ["-A FORWARD -s 10.9.9.9/32 -j ACCEPT"])


BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


@pytest.mark.lab
@pytest.mark.needs("firewalld", "dbus-daemon", "busctl")
@pytest.mark.no_laws
def test_promise_01_firewalld_is_told_and_told_again(make_host, monkeypatch, tmp_path):
    socket = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(BUS.format(socket))
    (tmp_path / "firewalld").mkdir()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={socket}")
    host = make_host(start=False)
    host.popen("dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork")
    wait_until(socket.exists, 10)
    host.start()
    host.apply(NETWORKS)
    host.wait_ready("Network", "lan")
    rules = sorted(weft_lines(host))

    def call(*args, check=True):
        return host.run("busctl", "--system", "call", "org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1", *args,
                        check=check)

    def zone():
        return call("org.fedoraproject.FirewallD1.zone", "getZoneOfInterface", "s", "lan").split()[1].strip('"')

    def fits():
        return zone() in ("weft", "libvirt", "trusted")

    host.popen("firewalld", "--nofork", "--nopid", "--system-config", tmp_path / "firewalld", stdout=subprocess.DEVNULL)
    wait_until(fits, 60, "a firewalld that comes later is told")
    wait_until(lambda: host.condition("Network", "lan", "Degraded").get("status") != "True")
    wait_until(lambda: sorted(weft_lines(host)) == rules, 20, "rules that its start has flushed are back")
    call("org.fedoraproject.FirewallD1", "reload")
    wait_until(fits, 20, "a firewalld that was reloaded is told again")
    wait_until(lambda: sorted(weft_lines(host)) == rules, 20, "the rules stand")
    assert rules and any("was gone; rules were removed by" in e["text"] for e in host.events())
    host.delete_all()
    wait_until(lambda: zone() == "", 20, "the bridge has left its zone")
