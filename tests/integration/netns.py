# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: commands in them, and all that the laws ask of one at once. On an emulated host every program that begins costs a tenth
of a second and a mount namespace as much again, so what needs neither does without."""
import contextlib
import ctypes
import json
import os
import re
import subprocess
from pathlib import Path

CLONE_NEWNET = 0x40000000
# They ask the kernel by netlink and in /proc/sys, which are of the namespace of who asks; /sys is not, and is what `ip netns exec` mounts anew.
NEED_NO_SYS = {"ip", "bridge", "tc", "nft", "sysctl", "ping", *(f"{family}{kind}{verb}" for family in ("iptables", "ip6tables")
                                                              for kind in ("", "-legacy", "-nft") for verb in ("", "-save", "-restore"))}
# The kernel clears as much memory as a reader offers: with small offers a thousand files are read in the time of two hundred.
VALUE_BYTES, LONGEST_BYTES = 512, 1 << 18
SECRET_VALUES = re.compile(r"stable_secret$|_key$")
libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def inside(name):
    """This thread, and what it begins, in a named network namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)


def run(name, *argv, check=True, timeout=60, input=None):
    """What a command says in a network namespace."""
    argv = [str(word) for word in argv]
    options = {"capture_output": True, "text": True, "timeout": timeout, "input": input}
    if argv[0] in NEED_NO_SYS and "tuntap" not in argv:
        with inside(name):
            done = subprocess.run(argv, **options)
    else:
        done = subprocess.run(["ip", "netns", "exec", name, *argv], **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def pids(name):
    """Of all processes in it."""
    there, found = os.stat(f"/run/netns/{name}"), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/ns/net"), there):
                found.append(int(pid))
    return found


def read_value(path):
    file = os.open(path, os.O_RDONLY)
    try:
        data = os.read(file, VALUE_BYTES)
        if len(data) == VALUE_BYTES:
            data = os.pread(file, LONGEST_BYTES, 0)
        return data.decode(errors="replace").strip()
    finally:
        os.close(file)


def sysctls():
    """{"ipv4/ip_forward": "0"} of the namespace that this thread is in."""
    found = {}
    for top in ("ipv4", "ipv6", "bridge"):
        for directory, _, names in os.walk(f"/proc/sys/net/{top}"):
            for name in names:
                if not SECRET_VALUES.search(name):
                    path = f"{directory}/{name}"
                    with contextlib.suppress(OSError):  # one that can only be written
                        found[path.removeprefix("/proc/sys/net/")] = read_value(path)
    return dict(sorted(found.items()))


def documents(text):
    """All JSON documents of a text."""
    decoder, at, found = json.JSONDecoder(), 0, []
    text = text.strip()
    while at < len(text):
        document, end = decoder.raw_decode(text, at)
        found.append(document)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def has_legacy_rules(family):
    """Whether there is any table that iptables-legacy-save and its kin would show; asking the kernel makes none."""
    with contextlib.suppress(FileNotFoundError):
        return bool(Path(f"/proc/thread-self/net/{family}_tables_names").read_text())
    return False


def begin(*argv, input=""):
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write(input)
    process.stdin.flush()
    return process


def end(process):
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, f"{' '.join(process.args)}: status {process.returncode}\n{out}\n{errors}"
    return out


def look(name):
    """What is to be seen in a network namespace, as the tools say it: (links with addresses, routes, rules, nftables' text, iptables' legacy text,
    sysctls)."""
    with inside(name):
        ip = begin("ip", "-d", "-j", "-batch", "-", input="addr show\nroute show table all\nrule show\n")
        ip6, nft = begin("ip", "-6", "-j", "rule"), begin("nft", "-s", "list", "ruleset")
        legacy = [begin(f"{tool}-legacy-save") for family, tool in (("ip", "iptables"), ("ip6", "ip6tables")) if has_legacy_rules(family)]
        values = sysctls()
        links, routes, rules = documents(end(ip))
        return links, routes, [rules, *documents(end(ip6))], end(nft), "".join(map(end, legacy)), values
