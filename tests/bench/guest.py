# SPDX-License-Identifier: Apache-2.0
"""The start of a guest (a boot sector, one disk, one interface), from the request to its first word on the serial line: by `weft guest
start`, and by hand with the command line that weft itself used, its descriptors opened in the same way, but without waiting for a
monitor (-S). Both in turn."""
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from common import Namespace, Weft, enter

SOURCE = Path(__file__).resolve().parents[2]
TUNSETIFF, TAP_FLAGS = 0x400454CA, 0x0002 | 0x1000 | 0x4000  # IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
MANIFEST = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec: {mode: isolated, addresses: [10.211.0.1/24]}
---
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec:
  memory: {size: 32MiB}
  disks: [{file: tiny.img}]
  interfaces: [lan]
"""


def add_image(root):
    files = root / "lib/files"
    files.mkdir(parents=True, exist_ok=True)
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", files / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", files / "tiny.o", "-o", files / "tiny.img"], check=True)
    os.truncate(files / "tiny.img", 1 << 20)
    (files / "tiny.img").chmod(0o600)


def size(path):
    return path.stat().st_size if path.exists() else 0


def wait_for_word(path, before, start):
    while size(path) == before:
        if time.monotonic() - start > 60:
            raise SystemExit(f"the guest said nothing in {path}")
        time.sleep(0.0005)
    return time.monotonic() - start


def qemu_of(root):
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            argv = (proc / "cmdline").read_bytes().decode().split("\0")[:-1]
            if "qemu" in argv[0] and f"guest=web,process=weft-web,debug-threads=on" in argv and \
                    os.readlink(proc / f"fd/{log_fd(argv)}").startswith(str(root)):
                return int(proc.name), argv
        except (OSError, IndexError):
            continue
    raise SystemExit("weft's QEMU is not there")


def log_fd(argv):
    return re.search(r"logfile=/dev/fdset/(\d+)", " ".join(argv))[1]


def listener(path):
    s = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    s.bind(str(path))
    s.listen(4)
    return s.detach()


def tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_FLAGS))
    return fd


def open_files(argv, root, log):
    """Descriptors by the numbers that the command line names."""
    files, text = {}, " ".join(argv)
    for number in re.findall(r"socket,id=\w+,fd=(\d+)", text):
        files[int(number)] = listener(root / f"hand-{number}.sock")
    for number in re.findall(r"-add-fd fd=(\d+)", text):
        is_log = number == log_fd(argv)
        files[int(number)] = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if is_log else \
            os.open(root / "lib/files/tiny.img", os.O_RDWR | (os.O_DIRECT if "cache.direct=on" in text else 0))
    for number in re.findall(r"[,]fds=(\d+)", text):
        files[int(number)] = tap("web.0")
    for number in re.findall(r"vhostfds=(\d+)", text):
        files[int(number)] = os.open("/dev/vhost-net", os.O_RDWR)
    return files


def by_hand(argv, root, namespace, log):
    """As a person's script would: open what it needs, become the unprivileged user, exec."""
    before = size(log)
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()  # as weft's
        enter(namespace.name)
        high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for number, fd in open_files(argv, root, log).items()}
        for number, fd in high.items():
            os.dup2(fd, number)
            os.close(fd)
        user = pwd.getpwnam("weft-qemu")
        groups = [g for g in (os.stat("/dev/kvm").st_gid,) if g] if os.path.exists("/dev/kvm") else []
        os.setgroups(groups)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)
        os.execv(argv[0], [a for a in argv if a != "-S"])
    took = wait_for_word(log, before, start)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return took


def by_weft(weft, log):
    before = size(log)
    start = time.monotonic()
    request = subprocess.Popen([*weft.cli(), "guest", "start", "web"], stdout=subprocess.DEVNULL)
    took = wait_for_word(log, before, start)
    request.wait()
    kill(weft)
    return took


def kill(weft):
    pid, _ = qemu_of(weft.root)
    weft.run("guest", "kill", "web")
    while os.path.exists(f"/proc/{pid}"):
        time.sleep(0.01)


def compare(table, rounds):
    if not (shutil.which("as") and shutil.which("ld") and shutil.which("qemu-system-x86_64")):
        print("guest: this host lacks as, ld or QEMU")
        return
    with Namespace() as ns, Weft(ns) as weft:
        add_image(weft.root)
        (weft.root / "guest.yaml").write_text(MANIFEST)
        try:
            weft.run("apply", "-f", weft.root / "guest.yaml", "--wait=60s")
            take_turns(weft, ns, table, rounds)
        finally:
            weft.run("delete", "-f", weft.root / "guest.yaml", "--now", "--wait=60s")


def take_turns(weft, ns, table, rounds):
    log, hand_log = weft.root / "run/guests/web/console.log", weft.root / "hand.log"
    wait_for_word(log, 0, time.monotonic())
    _, argv = qemu_of(weft.root)
    kill(weft)
    for _ in range(rounds):
        ours, theirs = by_weft(weft, log), by_hand(argv, weft.root, ns, hand_log)
        table.add("start a guest, weft / by hand", ours / theirs, "<= 1.1")
        table.add("  by weft, ms", ours * 1000)
        table.add("  by hand, ms", theirs * 1000)
        print(f"start a guest: {ours * 1000:.0f} ms against {theirs * 1000:.0f} ms, load {os.getloadavg()[0]:.1f}", flush=True)
