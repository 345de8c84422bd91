# SPDX-License-Identifier: Apache-2.0
"""How long a port that was pulled out of its bridge stays out: from the kernel's event of it to that of its return, by an outsider's
monitor; and the kernel's own time for the same repair, from an outsider's request to the event. Raw sockets: parsing comes afterwards."""
import os
import select
import signal
import socket
import struct
import time

RTM_NEWLINK, RTM_SETLINK, IFLA_MASTER, RTMGRP_LINK = 16, 19, 10, 1
LINK = struct.Struct("=IHHII BBHiII")  # nlmsghdr, ifinfomsg
PAUSE = 0.05


def index_of(name):
    return socket.if_nametoindex(name)


class Requests:
    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.bind((0, 0))

    def set_master(self, index, master):
        attribute = struct.pack("=HHI", 8, IFLA_MASTER, master)
        message = LINK.pack(LINK.size + len(attribute), RTM_SETLINK, 5, 1, 0, 0, 0, 0, index, 0, 0) + attribute
        start = time.monotonic()
        self.socket.send(message)
        error = struct.unpack_from("=i", self.socket.recv(65536), 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))
        return start


def masters(data, at):
    """(index, master) of each message about a link in a datagram."""
    while at + LINK.size <= len(data):
        size, kind, _, _, _, family, _, _, index, _, _ = LINK.unpack_from(data, at)
        master, attribute, end = 0, at + LINK.size, at + size
        while kind == RTM_NEWLINK and attribute + 4 <= end:
            length, name = struct.unpack_from("=HH", data, attribute)
            if name == IFLA_MASTER:
                master = struct.unpack_from("=I", data, attribute + 4)[0]
            attribute += max(4, length + 3 & ~3)
        if kind == RTM_NEWLINK and family == 0:
            yield index, master
        at += size + 3 & ~3


def watch(out):
    """Keeps the time and the bytes of every datagram, until a signal; then says what they were."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    s.bind((0, RTMGRP_LINK))
    seen, ended = [], []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    out.write("ready\n")
    out.flush()
    while not ended:
        if select.select([s], [], [], 0.5)[0]:
            seen.append((time.monotonic(), s.recv(65536)))
    for when, data in seen:
        for index, master in masters(data, 0):
            out.write(f"{when} {index} {master}\n")
    out.flush()


def start_witness():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            with os.fdopen(write, "w") as out:
                watch(out)
        finally:
            os._exit(0)
    os.close(write)
    answer = os.fdopen(read)
    answer.readline()
    return child, answer


def first(events, index, master, after):
    return next((when for when, i, m in events if i == index and m == master and when > after), None)


def latencies(ports, free, bridge):
    """Seconds of weft's answers, and of the kernel's own repairs. Runs in the namespace."""
    child, answer = start_witness()
    requests, pulled, joined = Requests(), [], []
    bridge, free = index_of(bridge), index_of(free)
    for name in ports:
        index = index_of(name)
        pulled.append((index, requests.set_master(index, 0)))
        time.sleep(PAUSE)
        joined.append(requests.set_master(free, bridge))
        time.sleep(PAUSE / 5)
        requests.set_master(free, 0)
    time.sleep(2)
    os.kill(child, signal.SIGTERM)
    events = [(float(when), int(index), int(master)) for when, index, master in map(str.split, answer)]
    os.waitpid(child, 0)
    ours = []
    for index, start in pulled:
        away = first(events, index, 0, start)
        back = first(events, index, bridge, away)
        if back is None:
            raise SystemExit(f"port {index} was not put back")
        ours.append(back - away)
    return ours, [first(events, free, bridge, start) - start for start in joined]
