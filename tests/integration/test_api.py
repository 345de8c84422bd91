# SPDX-License-Identifier: Apache-2.0
"""The API of a real weftd on its socket: clients that leave, follow, wait and may not; a store that is killed and shared."""
import grp
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from harness import BUILD, wait_until


def bridge(name, octet, mtu=1500):
    return (f"apiVersion: weft/v1\nkind: Bridge\nmetadata: {{name: {name}}}\n"
            f"spec: {{addresses: [10.66.{octet}.1/24], mtu: {mtu}}}\n")


def connect(host):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(host.root / "run/weft.sock"))
    return s


def ask(host, method, path, body=None):
    client = http.client.HTTPConnection("weft")
    client.sock = connect(host)
    client.request(method, path, json.dumps(body) if body is not None else None)
    answer = client.getresponse()
    text = answer.read()
    client.close()
    return answer.status, json.loads(text)


def apply_body(text, **options):
    return {"files": [{"name": "test.yaml", "text": text}], **options}


def request_bytes(body):
    text = json.dumps(body).encode()
    return b"POST /v1/apply HTTP/1.1\r\nHost: weft\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def read_until(s, what):
    text = b""
    while what not in text:
        more = s.recv(65536)
        assert more, f"the stream ended without {what}: {text}"
        text += more


def switches(host):
    status = Path(f"/proc/{host.daemon.pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_idle_followers_do_not_wake_the_daemon(host):
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1), wait=True))
    followers = [connect(host) for _ in range(3)]
    for f in followers:
        f.sendall(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: weft\r\n\r\n")
        read_until(f, b"Applied")

    def quiet():
        before = switches(host)
        time.sleep(1.5)
        return switches(host) - before <= 1

    wait_until(quiet, 20, "weftd sleeps")
    host.run("ip", "link", "set", "br1", "mtu", "1400")
    for f in followers:
        read_until(f, b"Repaired")
        f.close()


def test_an_apply_goes_on_without_its_client(make_host):
    host = make_host(weftd_args=["--fault", "delay:1:1500"])
    s = connect(host)
    s.sendall(request_bytes(apply_body(bridge("br1", 1), wait=True)))
    wait_until(lambda: ask(host, "GET", "/v1/history")[1][0]["state"] == "applying", 10)
    s.close()
    wait_until(lambda: ask(host, "GET", "/v1/history")[1][0]["state"] == "final", 20)
    assert host.addresses("br1") == {"10.66.1.1/24"}


def test_statuses_and_sentences(host):
    status, answer = ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1).replace("mtu", "mtv")))
    assert status == 400 and answer["result"] == "refused" and "did you mean 'mtu'?" in answer["rendered"]
    assert answer["diagnostics"][0]["line"] == 4
    status, answer = ask(host, "GET", "/v1/objects/bridges/br1")
    assert status == 404 and answer["message"] == "there is no Bridge 'br1'"
    status, answer = ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1), confirm="60s"))
    assert status == 200 and answer["result"] == "pending"
    status, answer = ask(host, "POST", "/v1/apply", apply_body(bridge("br2", 2)))
    assert status == 409 and answer["message"]
    assert ask(host, "POST", "/v1/confirm")[0] == 200
    assert ask(host, "GET", "/v1/objects/br/br1")[1]["spec"]["mtu"] == 1500
    nodes = {n["id"] for n in ask(host, "GET", "/v1/topology")[1]["nodes"]}
    assert {"Bridge/br1", "link/br1"} <= nodes


def test_large_and_broken_requests(host):
    text = bridge("br1", 1) + "# " + "x" * 9_900_000 + "\n"
    assert ask(host, "POST", "/v1/apply", apply_body(text, dryRun=True))[0] == 200
    status, answer = ask(host, "POST", "/v1/apply", apply_body(text * 2))
    assert status == 413 and "10 MiB" in answer["message"]
    for junk in (b"\0" * 1000, b"GET /v1/status", b"POST /v1/apply HTTP/1.1\r\nHost: w\r\nContent-Length: 99\r\n\r\n{",
                 b"POST /v1/apply HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                 b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n"):
        s = connect(host)
        try:
            s.sendall(junk)
        except OSError:
            pass
        s.close()
    deep = connect(host)
    text = b"[" * 500_000
    deep.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    assert deep.recv(100).startswith(b"HTTP/1.1 400")
    assert ask(host, "GET", "/v1/status")[0] == 200


def as_user(host, groups, method, path):
    """The answer's status for a user who is not root, in these groups."""
    code = ("import http.client, socket, sys; c = http.client.HTTPConnection('w'); c.sock = socket.socket(socket.AF_UNIX);"
            "c.sock.connect(sys.argv[3]); c.request(sys.argv[1], sys.argv[2], '{}'); r = c.getresponse(); print(r.status, r.read().decode())")
    return subprocess.run(["/usr/bin/python3", "-c", code, method, path, str(host.root / "run/weft.sock")], user=65534, group=65534,
                          extra_groups=groups, cwd="/", capture_output=True, text=True, check=True).stdout


def test_who_may_do_what(open_host):
    host = open_host
    answer = as_user(host, [], "GET", "/v1/status")
    assert answer.startswith("403") and "group 'weft'" in answer
    try:
        full, view = grp.getgrnam("weft").gr_gid, grp.getgrnam("weft-view").gr_gid
    except KeyError:
        pytest.skip("no groups weft and weft-view on this machine")
    assert as_user(host, [view], "GET", "/v1/status").startswith("200")
    assert as_user(host, [view], "POST", "/v1/apply").startswith("403")
    assert as_user(host, [full], "POST", "/v1/apply").startswith("200")


def test_a_second_weftd_is_refused(host):
    done = subprocess.run([BUILD / "weftd", "--root", host.root], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"another weftd (pid {host.daemon.pid}) uses the store" in done.stderr
    assert ask(host, "GET", "/v1/status")[0] == 200


def test_a_newer_store_is_refused(host):
    host.stop()
    store = sqlite3.connect(host.root / "lib/weft.db")
    ours = store.execute("PRAGMA user_version").fetchone()[0]
    store.execute("PRAGMA user_version = 99")
    done = subprocess.run([BUILD / "weftd", "--root", host.root], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "was written by a newer weft" in done.stderr
    store.execute(f"PRAGMA user_version = {ours}")
    store.close()
    host.start()


def test_killed_at_any_time_it_is_the_old_state_or_the_new(host):
    pick = random.Random(7)
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1, 1400), wait=True))
    wanted = {1400}
    for mtu in range(1401, 1413):
        s = connect(host)
        s.sendall(request_bytes(apply_body(bridge("br1", 1, mtu))))
        time.sleep(pick.random() * 0.008)
        host.stop(signal.SIGKILL)
        s.close()
        host.start()
        wanted.add(mtu)
        wait_until(lambda: host.diff() == [], 10, "diff is empty after the crash")
        seen = host.links()["br1"]["mtu"]
        assert seen in wanted and seen == ask(host, "GET", "/v1/objects/bridge/br1")[1]["spec"]["mtu"]
        wanted = {seen}
