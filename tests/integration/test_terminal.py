# SPDX-License-Identifier: Apache-2.0
"""What a person sees: tables that fit the terminal, colours there only, and a watch that redraws itself. A terminal emulator looks."""
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

import pytest

from harness import BUILD, wait_until

pyte = pytest.importorskip("pyte")


def bridges(names, mtu=1500):
    return "---\n".join(f"apiVersion: weft/v1\nkind: Bridge\nmetadata: {{name: {name}}}\nspec: {{mtu: {mtu}, addresses: "
                        f"[10.90.{i}.1/24, 10.91.{i}.1/24, 10.92.{i}.1/24]}}\n" for i, name in enumerate(names))


class Terminal:
    """A program on a terminal, and what is on its screen."""

    def __init__(self, host, *args, columns=80, lines=24, **env):
        self.raw = b""
        self.columns = columns
        self.screen = pyte.HistoryScreen(columns, lines, history=5000, ratio=1)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            time.sleep(0.05)  # until the terminal has its size
            os.execve(BUILD / "weft", ["weft", "--socket", str(host.root / "run/weft.sock"), *args],
                      {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"], **env})
        self.resize(columns, lines)

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def read(self, timeout=0.0):
        """What has come until now; False at the end."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def run(self):
        deadline = time.monotonic() + 30
        while self.read(0.2):
            assert time.monotonic() < deadline
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        return self.raw.decode()

    def rows(self):
        self.read()
        return [row.rstrip() for row in self.screen.display if row.strip()]

    def kill(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def shown(host):
    host.apply(bridges(["alpha", "beta", "gamma"]), "--wait=30s")
    return host


VERBS = [["get", "bridge"], ["get", "all"], ["get", "bridge", "-o", "wide"], ["describe", "bridge", "alpha"], ["history"], ["events"],
         ["explain"], ["explain", "bridge"], ["status"], ["topology"], ["doctor"], ["lease", "list"], ["diff"]]


def test_colours_are_for_terminals(shown):
    for verb in VERBS:
        assert "\x1b" not in shown.weft(*verb, check=False).out, verb
        assert "\x1b" not in Terminal(shown, *verb, NO_COLOR="1").run(), verb
        assert "\x1b" not in Terminal(shown, *verb, TERM="dumb").run(), verb
        colored = Terminal(shown, *verb).run()
        if verb[0] in ("get", "explain", "doctor", "describe"):
            assert "\x1b[" in colored, verb
        assert colored.count("\x1b[0m") * 2 == colored.count("\x1b["), f"each style of {verb} ends"


def test_lines_fit(shown):
    for verb in VERBS:
        for columns in (60, 100) if verb[-1] != "wide" else ():
            text = Terminal(shown, *verb, columns=columns, NO_COLOR="1").run()
            assert not [line for line in text.splitlines() if len(line) > columns], (verb, columns)


def test_help_fits(shown):
    overview = Terminal(shown, "help", columns=80).run()
    verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", overview, re.M)
    assert {"apply", "guest console", "completion"} < set(verbs)
    for topic in ([], ["guest"], *([*verb.split()] for verb in verbs)):
        for columns in 80, 120:
            text = Terminal(shown, "help", *topic, columns=columns).run()
            assert "usage: weft" in text and not [line for line in text.splitlines() if len(line) > columns], (topic, columns)


def test_watch_redraws_in_place(shown):
    terminal = Terminal(shown, "get", "bridge", "--watch", columns=60, lines=12)
    try:
        wait_until(lambda: len(terminal.rows()) == 4, what="heading and three rows")
        shown.apply(bridges(["alpha", "beta", "gamma", "delta"], 1400), "--wait=30s")
        rows = wait_until(lambda: (lambda r: r if len(r) == 5 and all("1400" in line for line in r[1:]) else None)(terminal.rows()))
        assert rows[0].startswith("NAME") and [r.split()[0] for r in rows[1:]] == ["alpha", "beta", "delta", "gamma"]
        shown.weft("delete", "bridge", "beta")
        wait_until(lambda: [r.split()[0] for r in terminal.rows()] == ["NAME", "alpha", "delta", "gamma"])
    finally:
        terminal.kill()


def test_watch_of_more_than_fits(shown):
    """What is beyond the screen's end is counted, not scrolled."""
    terminal = Terminal(shown, "get", "bridge", "--watch", columns=70, lines=8)
    try:
        wait_until(lambda: len(terminal.rows()) == 4)
        shown.apply(bridges([f"b{i:02}" for i in range(20)]), "--wait=30s")
        wait_until(lambda: "more" in terminal.rows()[-1])
        for mtu in (1400, 1300):
            shown.apply(bridges([f"b{i:02}" for i in range(20)], mtu), "--wait=30s")
            wait_until(lambda: str(mtu) in terminal.rows()[4])
        rows = terminal.rows()
        assert rows[0].startswith("NAME") and sum(r.startswith("NAME") for r in rows) == 1
        assert not any("NAME" in "".join(c.data for c in line.values()) for line in terminal.screen.history.top)
    finally:
        terminal.kill()


def test_watch_follows_the_size(shown):
    terminal = Terminal(shown, "get", "bridge", "--watch", columns=100, lines=20)
    try:
        wait_until(lambda: len(terminal.rows()) == 4 and "10.92.2.1/24" in terminal.rows()[-1])
        terminal.screen.reset()
        terminal.resize(50, 20)
        wait_until(lambda: any("\u2026" in row for row in terminal.rows()), 3, "the narrow table, at once")
    finally:
        terminal.kill()


def test_watch_into_a_pipe_prints_what_is_new(shown):
    process = shown.popen(BUILD / "weft", "--socket", shown.root / "run/weft.sock", "get", "bridge", "--watch",
                          stdout=open(shown.scratch / "watched", "w"))
    lines = lambda: (shown.scratch / "watched").read_text().splitlines()
    wait_until(lambda: len(lines()) == 4)
    shown.apply(bridges(["alpha", "beta", "gamma", "delta"]), "--wait=30s")
    wait_until(lambda: lines()[-1].startswith("delta") and "True" in lines()[-1])
    assert sum(line.startswith("NAME") for line in lines()) <= 2, "again only when the columns are others"
    assert sum(line.startswith("alpha") for line in lines()) <= 3
    process.terminate()
