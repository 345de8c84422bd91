# SPDX-License-Identifier: Apache-2.0
"""Routes over a bridge: what the kernel then has, edits in place, drift, and routes that are somebody else's."""
import time

import pytest

from harness import wait_until

ROUTES = """
    - {to: default, via: 10.7.0.254, metric: 50, mtu: 1400}
    - {to: default, via: "fd07::fe"}
    - {to: 10.9.0.0/16, source: 10.7.0.1, table: 100}
    - {to: 172.16.0.0/12, type: blackhole}
    - {to: "fd09::/48", type: unreachable}
    - {to: 10.8.0.0/16, via: 192.0.2.1, onLink: true}
"""
BR7 = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br7}
spec:
  ports: [port7]
  addresses: [10.7.0.1/24, "fd07::1/64"]
  routes:
"""


def add_port(host):
    """A link with a carrier for the bridge, and a foreign link with routes of its own."""
    host.run("ip", "link", "add", "port7", "type", "veth", "peer", "name", "far7")
    host.run("ip", "link", "add", "other", "type", "bridge")
    for link in ("port7", "far7", "other"):
        host.run("ip", "link", "set", link, "up")
    host.run("ip", "addr", "add", "10.99.0.1/24", "dev", "other")
    host.run("ip", "route", "add", "10.98.0.0/16", "via", "10.99.0.9", "metric", "7")


@pytest.fixture
def host(make_host):
    return make_host(before=add_port)


def routes(host, *show):
    """{"10.9.0.0/16 metric 0": route} of one table; what ip(8) does not name is 0."""
    family = "-6" if any(":" in word for word in show) or "-6" in show else "-4"
    found = host.json("ip", "-d", "-j", family, "route", "show", *(word for word in show if word != "-6"))
    return {f"{r['dst']} metric {r.get('metric', 0)}": r for r in found}


@pytest.mark.lab
def test_routes_of_a_manifest(host):
    host.apply(BR7 + ROUTES, "--wait=20s")
    main = routes(host, "table", "main")
    assert main["default metric 50"]["gateway"] == "10.7.0.254" and main["default metric 50"]["dev"] == "br7"
    assert main["default metric 50"]["metrics"] == [{"mtu": 1400}]
    assert main["172.16.0.0/12 metric 0"]["type"] == "blackhole"
    assert main["10.8.0.0/16 metric 0"]["gateway"] == "192.0.2.1" and "onlink" in main["10.8.0.0/16 metric 0"]["flags"]
    assert {str(r["protocol"]) for r in main.values() if r.get("dev") == "br7" and r["protocol"] != "kernel"} <= {"119", "weft"}
    extra = routes(host, "table", "100")
    assert extra["10.9.0.0/16 metric 0"]["prefsrc"] == "10.7.0.1" and extra["10.9.0.0/16 metric 0"]["scope"] == "link"
    six = routes(host, "-6", "table", "main")
    assert six["default metric 1024"]["gateway"] == "fd07::fe"
    assert six["fd09::/48 metric 1024"]["type"] == "unreachable"


def test_an_edit_changes_a_route_in_place(host):
    host.apply(BR7 + ROUTES, "--wait=20s")
    monitor = host.popen("ip", "-4", "monitor", "route", stdout=open(host.scratch / "monitor", "wb"))
    time.sleep(0.5)
    host.apply(BR7 + ROUTES.replace("10.7.0.254", "10.7.0.253").replace("fd07::fe", "fd07::fd"), "--wait=20s")
    assert routes(host)["default metric 50"]["gateway"] == "10.7.0.253"
    assert [r["gateway"] for r in host.json("ip", "-6", "-j", "route", "show", "default")] == ["fd07::fd"]
    monitor.terminate()
    monitor.wait()
    assert "Deleted" not in (host.scratch / "monitor").read_text(), "the IPv4 route was away for a moment"


@pytest.mark.parametrize("blow", [
    ("ip", "route", "del", "default", "metric", "50"),
    ("ip", "-6", "route", "del", "default"),
    ("ip", "route", "flush", "table", "100"),
    ("ip", "route", "del", "blackhole", "172.16.0.0/12"),
    ("ip", "route", "change", "default", "via", "10.7.0.254", "metric", "50", "mtu", "1300", "proto", "119"),
    ("sh", "-c", "ip link set br7 down; ip link set br7 up"),
    ("ip", "addr", "flush", "dev", "br7"),
    ("ip", "addr", "del", "10.7.0.1/24", "dev", "br7"),
    ("ip", "link", "del", "br7"),
], ids=lambda blow: " ".join(blow))
def test_promise_05_drift_is_repaired(host, blow):
    host.apply(BR7 + ROUTES, "--wait=20s")

    def look():
        found = [r for family in ("-4", "-6") for r in host.json("ip", "-d", "-j", family, "route", "show", "table", "all")]
        return sorted(str([r.get(k) for k in ("table", "dst", "dev", "gateway", "metric", "metrics", "type", "prefsrc")]) for r in found
                      if str(r["protocol"]) in ("119", "weft"))
    before = look()
    assert len(before) == 6
    host.run(*blow)
    wait_until(lambda: look() == before, 15, "the routes are back")


def test_promise_07_foreign_routes_are_left_alone(host):
    host.run("ip", "route", "add", "10.9.0.0/16", "via", "10.99.0.9")
    done = host.apply(BR7 + "    - {to: 10.9.0.0/16, via: 10.7.0.254}\n", check=False)
    assert done.status == 1 and "not weft's" in done.out + done.err, done
    assert routes(host)["10.9.0.0/16 metric 0"]["gateway"] == "10.99.0.9"
    assert "br7" not in host.links(), "the apply was taken back"
    host.apply(BR7 + "    - {to: 10.9.0.0/16, via: 10.7.0.254, metric: 10}\n", "--wait=20s")
    assert routes(host)["10.9.0.0/16 metric 0"]["gateway"] == "10.99.0.9"
    assert routes(host)["10.9.0.0/16 metric 10"]["gateway"] == "10.7.0.254"
    host.weft("delete", "bridge", "br7", "--wait=20s")
    assert routes(host)["10.9.0.0/16 metric 0"]["gateway"] == "10.99.0.9"
    host.run("ip", "route", "del", "10.9.0.0/16")


def test_promise_07_a_route_that_somebody_put_in_place_of_ours(host):
    host.apply(BR7 + ROUTES, "--wait=20s")
    host.run("ip", "route", "replace", "default", "via", "10.7.0.99", "metric", "50")
    wait_until(lambda: "not weft's" in host.condition("bridge", "br7").get("message", ""), 15, "the Bridge says that it is not weft's")
    assert routes(host)["default metric 50"]["gateway"] == "10.7.0.99"
    host.run("ip", "route", "del", "default", "metric", "50")
    wait_until(lambda: routes(host)["default metric 50"]["gateway"] == "10.7.0.254", 15, "weft's route is back")


def test_a_router_that_cannot_be_reached(host):
    text = BR7.replace('addresses: [10.7.0.1/24, "fd07::1/64"]', "addresses: []") + "    - {to: default, via: 10.7.0.254, metric: 50}\n"
    done = host.apply(text, check=False)
    assert done.status == 1 and "the router 10.7.0.254 is not reachable over br7" in done.out + done.err, done
    assert "br7" not in host.links()


def test_a_source_on_another_link_of_the_apply(host):
    """Whichever of the two links is named first, there already, or made anew."""
    bs = "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: %s}\nspec: {addresses: [10.77.0.1/24]}\n---\n"
    route = BR7 + "    - {to: 10.9.0.0/16, via: 10.7.0.254, source: 10.77.0.1}\n"

    def source():
        return routes(host).get("10.9.0.0/16 metric 0", {}).get("prefsrc")
    host.apply(BR7 + ROUTES, "--wait=20s")
    for name in ("aa", "zz"):
        host.apply(bs % name + route, "--prune", "--wait=20s")
        assert source() == "10.77.0.1"
        host.run("ip", "link", "del", name)
        wait_until(lambda: source() == "10.77.0.1", 20, "the route is back")
        refused = host.weft("delete", "bridge", name, check=False)
        assert refused.status == 1 and "its source 10.77.0.1 has to be an address of this host" in refused.err, refused
        assert source() == "10.77.0.1"
    host.weft("delete", "bridge/zz", "bridge/br7", "--wait=20s")
    host.apply(route.replace("10.77.0.1", "10.99.0.1"), "--wait=20s")
    assert source() == "10.99.0.1", "one that somebody else has"
    refused = host.apply(route.replace("10.77.0.1", "10.99.0.77"), check=False)
    assert refused.status == 1 and "its source 10.99.0.77 has to be an address of this host" in refused.err, refused


def test_promise_11_foreign_routes_cost_nothing(host):
    """100,000 events about routes that are not weft's, while it has routes of its own."""
    host.apply(BR7 + ROUTES, "--wait=20s")
    nets = [f"100.{a}.{b}.0/24" for a in range(64, 164) for b in range(250)]
    add, remove = ("\n".join(f"route {verb} {net} dev other" for net in nets) for verb in ("add", "del"))
    before = host.cpu_seconds(host.weftd_pid())
    for _ in range(2):
        host.run("ip", "-batch", "-", input=add, timeout=120)
        host.run("ip", "-batch", "-", input=remove, timeout=120)
    host.weft("get", "all")
    spent = host.cpu_seconds(host.weftd_pid()) - before
    print(f"{4 * len(nets)} events: {spent:.2f} s of CPU")
    assert len(nets) == 25000 and spent < 1
