# SPDX-License-Identifier: Apache-2.0
"""weft topology in its forms, read by others: Graphviz, an XML parser, a renderer."""
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

LINKS = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec: {mode: isolated, addresses: [10.71.1.1/24]}
---
apiVersion: weft/v1
kind: Tap
metadata: {name: probe0}
spec: {}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: 'a&b<c'}
spec: {ports: [probe0], addresses: [10.71.2.1/24]}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
---
apiVersion: weft/v1
kind: Volume
metadata: {name: data}
spec: {pool: local, size: 1MiB}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec: {state: stopped, memory: {size: 64MiB}, disks: [{volume: data}], interfaces: [{network: lan}]}
"""


@pytest.fixture
def shown(host):
    host.apply(LINKS, "--wait=30s")
    return host


def test_all_forms_show_the_same(shown):
    svg = ElementTree.fromstring(shown.weft("topology", "-o", "svg").out)
    texts = {e.text for e in svg.iter("{http://www.w3.org/2000/svg}text")}
    plain = shown.weft("topology").out
    dot = shown.weft("topology", "-o", "dot").out
    nodes = {n["id"] for n in shown.weft("topology", "-o", "json").json()["nodes"]}
    for name in ("lan", 'a&b<c', "probe0", "local", "data", "web", "10.71.1.1/24"):
        assert name in texts, name
        assert name in plain, name
        assert name.replace("<", "\\<") in dot, name
    assert {"link/lan", "pool/local", "Guest/web"} <= nodes
    paths = [e for e in svg.iter("{http://www.w3.org/2000/svg}path") if "wire" in e.get("class")]
    assert len(paths) == 3, "probe0 to its bridge, lan to web, web to its volume"


@pytest.mark.needs("dot")
def test_graphviz_reads_it(shown):
    done = subprocess.run(["dot", "-Tplain"], input=shown.weft("topology", "-o", "dot").out, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert len([l for l in done.stdout.splitlines() if l.startswith("edge")]) == 3


@pytest.mark.needs("rsvg-convert")
def test_a_renderer_draws_it(shown):
    done = subprocess.run(["rsvg-convert"], input=shown.weft("topology", "-o", "svg").out.encode(), capture_output=True)
    assert done.returncode == 0 and done.stdout.startswith(b"\x89PNG")


def test_an_empty_host(host):
    assert "nothing here yet" in host.weft("topology", "-o", "svg").out
    assert host.weft("topology", "-o", "dot").out.startswith("graph weft {")
