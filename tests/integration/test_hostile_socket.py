# SPDX-License-Identifier: Apache-2.0
"""The socket under fire: two hundred clients at once, some of which do not read, do not finish, leave, or may nothing."""
import concurrent.futures
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import BUILD, wait_until
from test_api import apply_body, ask, bridge, connect, read_until, request_bytes

CLIENTS = 200
BODY_MAX = 10 * 1024 * 1024
READS = ("status", "history", "objects", "resources", "kinds", "topology", "events", "leases", "leases/volumes", "plugins")
WRITES = ("apply", "delete", "diff", "confirm", "rollback", "guests/web/stop", "guests/web/kill", "leases/volumes/web/break")


def get(path):
    return b"GET /v1/%s HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n\r\n" % path.encode()


def post(path, body, headers=b""):
    return b"POST /v1/%s HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s" % (
        path.encode(), headers, len(body), body)


def read_all(s):
    """Status and body of an answer that ends with its connection."""
    text = b""
    while more := s.recv(65536):
        text += more
    head, body = text.split(b"\r\n\r\n", 1)
    if b"chunked" in head:
        left, body = body, b""
        while (size := int(left.split(b"\r\n", 1)[0], 16)) > 0:
            left = left.split(b"\r\n", 1)[1]
            body, left = body + left[:size], left[size + 2:]
    return int(head.split()[1]), body


def answers_promptly(host, within=2.0):
    before = time.monotonic()
    assert ask(host, "GET", "/v1/status")[0] == 200
    taken = time.monotonic() - before
    assert taken < within, f"an honest client waited {taken:.1f} s"


def memory_mib(host):
    return int(Path(f"/proc/{host.daemon.pid}/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


def descriptors(host):
    """What weftd has open. Of sockets only its clients': it opens others (netlink, D-Bus) for what there comes to be."""
    process = Path(f"/proc/{host.daemon.pid}")
    clients = [line for line in (process / "net/unix").read_text().splitlines() if line.endswith(f" {host.root}/run/weft.sock")]
    others = []
    for fd in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            others += [what for what in [os.readlink(fd)] if not what.startswith("socket:")]
    return len(clients) + len(others)


def revisions(host):
    return [(r["revision"], r["state"]) for r in ask(host, "GET", "/v1/history")[1]]


def test_200_clients_at_once(host):
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1), wait=True))
    before = descriptors(host)
    clients = [connect(host) for _ in range(CLIENTS)]
    # All requests are under way before the first answer is read.
    for i, s in enumerate(clients):
        if i % 10 == 9:
            s.sendall(post("apply", json.dumps(apply_body(bridge(f"b{i}", i), dryRun=True)).encode()))
        else:
            s.sendall(get(READS[i % len(READS)]))
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(read_all, clients))
    assert [status for status, _ in answers] == [200] * CLIENTS
    for i, (_, body) in enumerate(answers):
        if i % 10 == 9:
            answer = json.loads(body)
            assert answer["result"] == "dryRun"
            assert {"kind": "Bridge", "name": f"b{i}", "change": "created"} in answer["objects"]
        else:
            [json.loads(line) for line in body.splitlines()]
    for s in clients:
        s.close()
    wait_until(lambda: descriptors(host) <= before, 10, "all descriptors are closed")
    assert set(host.links()) == {"lo", "br1"}


def test_200_clients_that_apply(host):
    """They get their turn one after the other, or are told that somebody else has it."""
    def apply(i):
        with connect(host) as s:
            s.settimeout(60)
            s.sendall(post("apply", json.dumps(apply_body(bridge(f"b{i % 20}", i % 20, 1400 + i // 20), set=f"s{i % 20}")).encode()))
            return read_all(s)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = [(status, json.loads(body)) for status, body in pool.map(apply, range(CLIENTS))]
    odd = [answer for status, answer in answers if (status, answer.get("result")) != (200, "final") and not (status == 409 and answer["message"])]
    assert not odd, odd[:3]
    assert sum(status == 200 for status, _ in answers) >= 20
    for i in range(20):
        assert host.addresses(f"b{i}") == {f"10.66.{i}.1/24"}


def test_slow_readers(host):
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1), wait=True))
    expected = ask(host, "GET", "/v1/kinds")[1]
    before = memory_mib(host)
    deaf = [connect(host) for _ in range(CLIENTS)]
    for i, s in enumerate(deaf):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Answers far larger than what the kernel keeps for them.
        s.sendall(get(("kinds", "events?follow=1", "topology")[i % 3]) + get("kinds") * 20)
    for mtu in range(1401, 1411):
        assert ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1, mtu)))[0] == 200
        answers_promptly(host)
    assert memory_mib(host) - before < 100
    slow = connect(host)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(get("kinds"))
    text = b""
    while more := slow.recv(1024):
        text += more
        time.sleep(0.002)
    assert json.loads(text.split(b"\r\n\r\n", 1)[1]) == expected
    for s in deaf + [slow]:
        s.close()
    answers_promptly(host)


def test_half_requests(host):
    whole = request_bytes(apply_body(bridge("br1", 1)))
    before = descriptors(host)
    halves = []
    for i in range(CLIENTS):
        s = connect(host)
        s.sendall(whole[:len(whole) * i // CLIENTS])
        halves.append(s)
    answers_promptly(host)
    assert revisions(host) == []
    # One that comes byte by byte comes all the same.
    drip = connect(host)
    for at in range(0, len(whole)):
        drip.sendall(whole[at:at + 1])
    read_until(drip, b'"final"')
    drip.close()
    # Some are finished after all, the rest leaves or is left.
    for s in halves[150:]:
        s.close()
    for s, i in list(zip(halves, range(CLIENTS)))[100:103]:
        s.sendall(whole[len(whole) * i // CLIENTS:])
        read_until(s, b'"result"')
        s.close()
    answers_promptly(host)
    # Whoever says nothing more is not kept for ever.
    wait_until(lambda: descriptors(host) <= before, 60, "what was not finished is dropped")
    for s in halves[:150]:
        s.close()


def padded(body, size):
    text = json.dumps(body).encode()
    return text + b" " * (size - len(text))


def test_bodies_at_the_limit_and_above(host):
    def send(size, client):
        with connect(host) as s:
            s.settimeout(60)
            s.sendall(post("apply", padded(apply_body(bridge(f"br{client}", client), dryRun=True), size)))
            return read_all(s)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        fitting = list(pool.map(send, [BODY_MAX] * 8, range(8)))
        larger = list(pool.map(send, [BODY_MAX + 1, BODY_MAX * 2, BODY_MAX * 5], range(3)))
    for status, body in fitting:
        assert status == 200 and json.loads(body)["result"] == "dryRun"
    for status, body in larger:
        assert status == 413 and "larger than 10 MiB" in json.loads(body)["message"] and "in parts" in json.loads(body)["message"]
    # In chunks, so that nobody knows beforehand.
    with connect(host) as s:
        s.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: weft\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            s.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        assert read_all(s)[0] == 413
    # What never ends is cut off.
    with connect(host) as s, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: weft\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(300):
            s.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        pytest.fail("300 MiB were taken")
    answers_promptly(host)
    if BUILD.name != "asan":  # which keeps what is freed for a while
        wait_until(lambda: memory_mib(host) < 150, 10, "the memory of the bodies is given back")
    assert revisions(host) == []


def test_an_expectation_is_answered_before_the_body(host):
    with connect(host) as s:
        body = json.dumps(apply_body(bridge("br1", 1), dryRun=True)).encode()
        head, _ = post("apply", body, b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
        s.sendall(head + b"\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(body)
        assert read_all(s)[0] == 200


def leave_half_closed(s):
    s.shutdown(socket.SHUT_WR)


def leave_with_linger(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()


@pytest.mark.parametrize("operation", [1, 2, 3])
@pytest.mark.parametrize("leave", [socket.socket.close, leave_half_closed, leave_with_linger])
def test_disconnect_in_mid_apply(make_host, operation, leave):
    host = make_host(weftd_args=["--fault", f"delay:{operation}:700"])
    text = bridge("br1", 1) + "---\n" + bridge("br2", 2)
    s = connect(host)
    s.sendall(request_bytes(apply_body(text, wait=True)))
    wait_until(lambda: revisions(host) == [(1, "applying")], 10)
    leave(s)
    wait_until(lambda: revisions(host) == [(1, "final")], 20)
    assert host.addresses("br1") == {"10.66.1.1/24"} and host.addresses("br2") == {"10.66.2.1/24"}
    answers_promptly(host)


def test_clients_that_have_said_all_get_their_answers(make_host):
    """They end their sending with their request, as nc -N does, and read on: whatever is asked for, at once or a while later, kept open or not."""
    host = make_host(weftd_args=["--fault", "delay:1:800"])
    late = json.dumps(apply_body(bridge("br1", 1), wait=True)).encode()
    dry = [padded(apply_body(bridge(f"b{i}", i), dryRun=True), size) for i, size in enumerate((400, 65536, 70000, 1000000))]
    requests = [(post("apply", late), 200)] + [(get("status"), 200), (get("kinds"), 200), (get("nothing"), 404), (post("confirm", b""), 409)] * 10 + [
        (post("apply", body), 200) for body in dry * 25]

    def said(i):
        request, expected = requests[i]
        with connect(host) as s:
            s.settimeout(60)
            s.sendall(request.replace(b"Connection: close\r\n", b"") if i % 2 else request)
            time.sleep((0, 0.001, 0.02)[i % 3])
            s.shutdown(socket.SHUT_WR)
            status, body = read_all(s)
            assert status == expected, (status, body)
            return json.loads(body)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(said, range(len(requests))))
    assert answers[0]["result"] == "final" and answers[0]["message"].endswith("everything is Ready"), answers[0]
    assert {answer["result"] for answer in answers[41:]} == {"dryRun"}


def test_a_follower_that_has_said_all_goes_on_reading(host):
    """For as long as it reads, and costs nothing while there is nothing."""
    before = descriptors(host)
    with connect(host) as s:
        s.sendall(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: weft\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        for i in range(3):
            ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1, 1400 + i), wait=True))
            read_until(s, b"revision %d " % (i + 1))
        used = host.cpu_seconds(host.weftd_pid())
        time.sleep(1)
        assert host.cpu_seconds(host.weftd_pid()) - used < 0.1
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1, 1450)))
    wait_until(lambda: descriptors(host) <= before, 10, "it is gone")


def test_a_client_that_does_not_wait_is_served_whole_or_not_at_all(host):
    """Which of both is in the history."""
    for i in range(40):
        s = connect(host)
        s.sendall(post("apply", json.dumps(apply_body(bridge(f"br{i}", i), set=f"s{i}")).encode()))
        time.sleep(i % 4 * 0.0005)
        (socket.socket.close, leave_with_linger)[i % 2](s)
        answers_promptly(host)

    def done():
        """Some may still be on their way when those before them are final."""
        states = [state for _, state in revisions(host)]
        bridges = [link for link in host.links() if link.startswith("br")]
        return set(states) == {"final"} and len(bridges) == len(states) and states

    states = wait_until(done, 20, "what was applied is what is there")
    print(f"{len(states)} of 40 were done")
    wait_until(lambda: host.diff() == [])


def test_disconnect_before_the_request_has_come(host):
    whole = request_bytes(apply_body(bridge("br1", 1)))
    for at in range(1, len(whole), 7):
        s = connect(host)
        s.sendall(whole[:at])
        s.close()
    answers_promptly(host)
    assert revisions(host) == [] and set(host.links()) == {"lo"}


def test_disconnect_while_to_be_confirmed(host):
    ask(host, "POST", "/v1/apply", apply_body(bridge("br1", 1, 1400)))
    s = connect(host)
    s.sendall(request_bytes(apply_body(bridge("br1", 1, 1300), confirm="3s")))
    # A request whose client has gone before it was read is not begun.
    wait_until(lambda: len(revisions(host)) == 2, 10)
    s.close()
    wait_until(lambda: host.links()["br1"]["mtu"] == 1300, 10)
    wait_until(lambda: host.links()["br1"]["mtu"] == 1400, 15, "nobody confirmed it")


# ---- who is who ----

@contextlib.contextmanager
def temporary_user(name, *options):
    subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/sh", *options, name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


@pytest.fixture
def users():
    """Names of users: a stranger, a viewer, one whose own group is weft-view, and one who may do everything."""
    if subprocess.run(["getent", "group", "weft", "weft-view"], capture_output=True).returncode:
        pytest.skip("no groups weft and weft-view on this machine: scripts/setup makes them")
    with contextlib.ExitStack() as stack:
        yield {who: stack.enter_context(temporary_user(f"weft-test-{who}", *options)) for who, options in {
            "stranger": (), "viewer": ("--groups", "weft-view"), "guest": ("--no-user-group", "--gid", "weft-view"),
            "full": ("--groups", "weft")}.items()}


def copy_for_others(host):
    """weft's command line where others can run it."""
    path = host.root / "weft"
    if not path.exists():
        shutil.copy(BUILD / "weft", path)
        path.chmod(0o755)
    return path


def weft_as(host, user, *args, input=None):
    command = ["setpriv", "--reuid", user, "--regid", str(group_of(user)), "--init-groups", copy_for_others(host),
               "--socket", host.root / "run/weft.sock", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, input=input, cwd="/")


def group_of(user):
    return subprocess.run(["id", "-g", user], capture_output=True, text=True, check=True).stdout.strip()


SPEAK = """
import http.client, json, socket, sys
for method, path in json.loads(sys.argv[2]):
    c = http.client.HTTPConnection("weft")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(sys.argv[1])
    c.request(method, path, "{}")
    r = c.getresponse()
    print(r.status, json.loads(r.read().splitlines()[0]).get("message", "") if r.status >= 400 else "")
"""


def statuses_as(host, user, requests):
    """Statuses and messages of requests by a user, whom su(1) makes."""
    program = host.root / "speak.py"
    program.write_text(SPEAK)
    program.chmod(0o644)
    done = subprocess.run(["su", "-s", "/bin/sh", user, "-c", 'exec /usr/bin/python3 "$0" "$1" "$2"', program,
                           host.root / "run/weft.sock", json.dumps(requests)], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in done.stdout.splitlines()]


@pytest.mark.needs("setpriv", "su", "useradd")
def test_a_stranger_may_nothing(open_host, users):
    requests = [("GET", f"/v1/{path}") for path in (*READS, "doctor", "guests/web/console", "nothing")]
    requests += [("POST", f"/v1/{path}") for path in WRITES]
    for status, message in statuses_as(open_host, users["stranger"], requests):
        assert status == 403 and "weft-test-stranger (uid " in message and "group 'weft'" in message
    for args in (("get", "all"), ("events",), ("apply", "-f", "-"), ("delete", "Bridge", "br1"), ("rollback",)):
        done = weft_as(open_host, users["stranger"], *args, input=bridge("br1", 1))
        assert done.returncode == 1 and "may not use weft" in done.stderr, (args, done)
    assert revisions(open_host) == []


@pytest.mark.needs("setpriv", "su", "useradd")
@pytest.mark.parametrize("who", ["viewer", "guest"])
def test_a_viewer_may_read_and_not_apply(open_host, users, who):
    ask(open_host, "POST", "/v1/apply", apply_body(bridge("br1", 1), wait=True))
    before = revisions(open_host)
    for status, _ in statuses_as(open_host, users[who], [("GET", f"/v1/{path}") for path in READS]):
        assert status == 200
    for status, message in statuses_as(open_host, users[who], [("POST", f"/v1/{path}") for path in WRITES]):
        assert status == 403 and "may only read" in message
    assert "br1" in weft_as(open_host, users[who], "get", "bridges").stdout
    for args in (("apply", "-f", "-"), ("apply", "--dry-run", "-f", "-"), ("delete", "Bridge", "br1"), ("rollback",), ("confirm",)):
        done = weft_as(open_host, users[who], *args, input=bridge("br1", 1, 1300))
        assert done.returncode == 1 and "may only read" in done.stderr, (args, done)
    assert revisions(open_host) == before and open_host.links()["br1"]["mtu"] == 1500


@pytest.mark.needs("setpriv", "useradd")
def test_a_member_of_weft_may_do_everything(open_host, users):
    done = weft_as(open_host, users["full"], "apply", "-f", "-", input=bridge("br1", 1))
    assert done.returncode == 0, done
    assert open_host.addresses("br1") == {"10.66.1.1/24"}
    assert ask(open_host, "GET", "/v1/history")[1][0]["who"].startswith("weft-test-full (uid ")
    assert weft_as(open_host, users["full"], "delete", "Bridge", "br1").returncode == 0


@pytest.mark.needs("useradd")
def test_strangers_do_not_keep_others_out(open_host, users):
    hold = ("import socket, sys, time\n"
            "held = []\n"
            "for _ in range(600):\n"
            "    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'POST /v1/apply HTTP/1.1\\r\\n'); held.append(s)\n"
            "print('held', flush=True); time.sleep(60)\n")
    program = open_host.root / "hold.py"
    program.write_text(hold)
    program.chmod(0o644)
    group = int(group_of(users["stranger"]))
    process = open_host.popen("setpriv", "--reuid", users["stranger"], "--regid", str(group), "--clear-groups", "/usr/bin/python3",
                              program, open_host.root / "run/weft.sock", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
    try:
        # Some of its connections may be turned away while it still talks: then it has ended.
        process.stdout.readline()
        answers_promptly(open_host)
        assert ask(open_host, "POST", "/v1/apply", apply_body(bridge("br1", 1)))[0] == 200
    finally:
        process.kill()
        process.wait()
