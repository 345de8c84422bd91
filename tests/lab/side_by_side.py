# SPDX-License-Identifier: Apache-2.0
"""Runs of hosts in several processes, each of which takes the next one when it has ended one. Processes, since what starts a QEMU binds its life
to its own."""
import multiprocessing
import os
import sys
import time

import emulator
from workshop import LabError


class Lines:
    """Standard output of one of them: whole lines, each with a name before it."""

    def __init__(self, name):
        self.name, self.begun = name, ""

    def write(self, text):
        *whole, self.begun = (self.begun + text).split("\n")
        if whole:
            os.write(1, "".join(f"{self.name} | {line}\n" for line in whole).encode())

    def flush(self):
        pass


class Queue:
    """What is to be run, (name, function of seconds and name) each."""

    def __init__(self, items):
        self.items, self.next = items, multiprocessing.Value("i", 0)

    def take(self):
        with self.next.get_lock():
            self.next.value += 1
            return self.items[self.next.value - 1] if self.next.value <= len(self.items) else None


def work(queue, end, beside):
    if beside:
        emulator.die_with_parent()
    while time.monotonic() < end:
        item = queue.take()
        if not item:
            break
        name, function = item
        if beside:
            sys.stdout = Lines(name)
        try:
            function(end - time.monotonic(), name)
        except LabError as error:
            print(f"==== {name}: {error} ====", flush=True)


def run(items, jobs, end):
    """All of them, `jobs` at a time, until the time is up."""
    queue = Queue(items)
    if min(jobs, len(items)) <= 1:
        work(queue, end, beside=False)
        return
    workers = [multiprocessing.Process(target=work, args=(queue, end, True)) for _ in range(jobs)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            if worker.pid:
                worker.terminate()  # it ends its host
                worker.join()
