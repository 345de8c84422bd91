# SPDX-License-Identifier: Apache-2.0
"""Completion, as the shells themselves do it: bash and zsh are typed at through a terminal, fish is asked for its list."""
import os
import pty
import select
import shutil
import socket
import subprocess
import time

import pytest

from harness import BUILD

MANIFESTS = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: uplink}
spec: {addresses: [10.77.1.1/24]}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: inside}
spec: {addresses: [10.77.2.1/24]}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
"""


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, host, *argv, setup):
        env = {"PATH": f"{BUILD}:/usr/sbin:/usr/bin:/sbin:/bin", "WEFT_SOCKET": str(host.root / "run/weft.sock"), "TERM": "xterm",
               "HOME": str(host.scratch), "LC_ALL": "C.UTF-8", "PS1": "", "COLUMNS": "200"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(host.scratch)
            os.execvpe(argv[0], list(argv), env)
        self.type(f"{setup}\n")
        self.ask("echo rea''dy\n", "ready")

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ask(self, keys, until, timeout=20):
        """What the terminal shows after the keys, up to a text."""
        self.type(keys)
        seen, deadline = "", time.monotonic() + timeout
        while until not in seen:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {until!r} after {keys!r}: {seen!r}")
            seen += os.read(self.fd, 65536).decode(errors="replace")
        return seen

    def complete(self, line):
        """The words of the line after a TAB at its end."""
        self.type(line + "\t")
        time.sleep(0.4)
        seen = self.ask("\x01printf '<%s>' \x05; echo do''ne\n", "done\r\n")
        words = seen[seen.rindex("<weft>"):]
        return words[words.index("<") + 1:words.rindex(">")].split("><")

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


def bash(host):
    return Shell(host, "bash", "--norc", "--noprofile", "-i", setup="eval \"$(weft completion bash)\"")


def zsh(host):
    return Shell(host, "zsh", "-f", "-i", setup="autoload -U compinit; compinit -u -D; bindkey -e; unsetopt prompt_cr prompt_sp beep; "
                                                "eval \"$(weft completion zsh)\"")


# What is typed, and the words of the line when a TAB has done what it can.
TYPED = [
    ("weft top", ["weft", "topology"]),
    ("weft guest st", ["weft", "guest", "st"]),
    ("weft guest con", ["weft", "guest", "console"]),
    ("weft get bri", ["weft", "get", "bridge"]),
    ("weft get bridge up", ["weft", "get", "bridge", "uplink"]),
    ("weft get -o json bridge in", ["weft", "get", "-o", "json", "bridge", "inside"]),
    ("weft describe bridge/u", ["weft", "describe", "bridge/uplink"]),
    ("weft delete bridge/uplink pool/l", ["weft", "delete", "bridge/uplink", "pool/local"]),
    ("weft get -o wi", ["weft", "get", "-o", "wide"]),
    ("weft get --output=js", ["weft", "get", "--output=json"]),
    ("weft events --fol", ["weft", "events", "--follow"]),
    ("weft events --object Bridge/in", ["weft", "events", "--object", "Bridge/inside"]),
    ("weft explain network.dhcp.ra", ["weft", "explain", "network.dhcp.range"]),
    ("weft apply -f some-m", ["weft", "apply", "-f", "some-manifest.yaml"]),
    ("weft apply --file=some-m", ["weft", "apply", "--file=some-manifest.yaml"]),
    ("weft apply --set def", ["weft", "apply", "--set", "default"]),
    ("weft completion f", ["weft", "completion", "fish"]),
    ("weft nonsense x", ["weft", "nonsense", "x"]),
]


@pytest.fixture
def shown(host):
    host.apply(MANIFESTS, name="applied.yml")
    (host.scratch / "some-manifest.yaml").write_text(MANIFESTS)
    return host


@pytest.mark.parametrize("shell", [bash, pytest.param(zsh, marks=pytest.mark.needs("zsh"))])
def test_typing_with_tab(shown, shell):
    terminal = shell(shown)
    try:
        for typed, expected in TYPED:
            got = terminal.complete(typed)
            if shell is zsh:  # leaves words that cannot be completed as they are, too
                got = [word.rstrip() for word in got]
            assert got == expected, typed
    finally:
        terminal.close()


@pytest.mark.needs("fish")
def test_fish(shown):
    script = shown.weft("completion", "fish").out
    env = {**os.environ, "PATH": f"{BUILD}:/usr/bin:/bin", "WEFT_SOCKET": str(shown.root / "run/weft.sock"), "HOME": str(shown.scratch)}

    def offered(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"{script}\ncomplete -C $argv[1]", line], capture_output=True, text=True, env=env,
                              cwd=shown.scratch, timeout=20)
        assert done.returncode == 0, done.stderr
        return dict(line.partition("\t")[::2] for line in done.stdout.splitlines())

    assert offered("weft top") == {"topology": "Draw what hangs on what: links, guests, pools, volumes"}
    assert set(offered("weft get bridge ")) == {"inside", "uplink"}
    assert set(offered("weft get --output=j")) == {"--output=json"}
    assert "some-manifest.yaml" in offered("weft apply -f some")
    assert set(offered("weft guest st")) == {"start", "stop"}


def words(host, *args):
    return [line.split("\t")[0] for line in host.weft("complete", "--", *args).out.splitlines()]


def test_without_a_daemon_verbs_and_options_remain(make_host):
    host = make_host(start=False)
    assert words(host, "doct") == ["doctor"]
    assert "--prune" in words(host, "apply", "--pr")
    assert words(host, "get", "bri") == [] and words(host, "get", "bridge", "") == []


@pytest.mark.no_laws
def test_a_silent_daemon_does_not_hold_up_the_shell(make_host):
    host = make_host(start=False)
    (host.root / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(host.root / "run/weft.sock"))
        s.listen()
        begun = time.monotonic()
        assert words(host, "get", "bridge", "") == []
        assert time.monotonic() - begun < 3


def test_every_verb_and_option_is_offered(host):
    listed = [line.split()[0] for line in host.weft("help").out.splitlines() if line.startswith("  ") and line[2].isalpha()]
    assert set(listed) <= set(words(host, ""))
    assert "complete" not in words(host, "")
    for verb in set(listed) - {"guest", "lease"}:
        text = host.weft("help", verb).out
        for option in [w.rstrip("[=,") for w in text.partition("options:")[2].partition("examples:")[0].split() if w.startswith("--")]:
            assert option.split("[")[0] in words(host, verb, option.split("[")[0]), (verb, option)


def test_what_a_shell_might_act_on_is_not_offered(host):
    """A link may have nearly any name."""
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: 'a$(id)'}\nspec: {}\n")
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: 'afine'}\nspec: {}\n")
    assert words(host, "get", "bridge", "a") == ["afine"]


def test_unknown_shell(host):
    done = host.weft("completion", "tcsh", check=False)
    assert done.status == 2 and "bash, zsh or fish" in done.err
    for shell in ("bash", "zsh"):
        if shutil.which(shell):
            assert subprocess.run([shell, "-n"], input=host.weft("completion", shell).out, text=True).returncode == 0
