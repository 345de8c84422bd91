# SPDX-License-Identifier: Apache-2.0
"""A lab host that runs: its QEMU, its agent, its console, and the booted state that is saved once and restored for each run."""
import contextlib
import json
import queue
import shutil
import socket
import threading
import time
from pathlib import Path

import hardware
import workshop
from workshop import LabError

BOOT_SECONDS = 300
CONSOLE_LINES = 40
PANIC = "Kernel panic - not syncing"
SHARE = "/share"
MOUNT_SHARE = (f"mkdir -p {SHARE} && modprobe -a 9pnet_virtio 9p && "
               f"mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share {SHARE}")


class Agent:
    """Commands to the host, side by side; answers come as they are ready. What will not be answered gets a LabError for an answer."""

    def __init__(self, connection):
        self.socket = connection
        self.waiting, self.taken, self.number, self.lock = {}, set(), 0, threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError), self.socket.makefile("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, AttributeError):
                    self.take(json.loads(line))
        self.give_up(list(self.waiting), LabError("the lab's QEMU has ended"))

    def take(self, message):
        if "hello" in message:
            self.give_up(list(self.taken), LabError("the lab's agent has ended, or its host has booted again, before this was done"))
            self.taken.clear()
        elif "taken" in message:
            self.taken.add(message["taken"])
        else:
            self.taken.discard(message.get("id"))
            self.give_up([message.get("id")], message)

    def give_up(self, numbers, answer):
        for number in numbers:
            waiting = self.waiting.pop(number, None)
            if waiting:
                waiting.put(answer)

    def start(self, command, timeout=60):
        """A queue that gets the answer."""
        answers = queue.Queue()
        with self.lock:
            self.number += 1
            self.waiting[self.number] = answers
            request = {"id": self.number, "command": command, "timeout": timeout}
            try:
                self.socket.sendall((json.dumps(request) + "\n").encode())
            except OSError:
                self.give_up([self.number], LabError("the lab's QEMU has ended"))
        return answers

    def run(self, command, timeout=60, patience=None):
        """(status, output); `patience` is how long the answer itself may take."""
        try:
            answer = self.start(command, timeout).get(timeout=patience or timeout + 20)
        except queue.Empty:
            raise LabError(f"the lab's agent does not answer to: {command[:200]}") from None
        if isinstance(answer, LabError):
            raise LabError(f"{answer}: {command[:200]}")
        return answer["status"], answer["out"]

    def check(self, command, timeout=60, patience=None):
        status, out = self.run(command, timeout, patience)
        if status:
            raise LabError(f"in the lab: {command[:300]}: status {status}\n{out[-4000:]}")
        return out


class Qmp:
    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(60)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.socket.sendall((json.dumps({"execute": command, "arguments": arguments}) + "\n").encode())
        for line in self.lines:
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise LabError(f"QEMU has ended at {command}")


class Vm:
    """A host that runs. `base` is a directory with its disks, as far as it has them, which stay as they are: the image, or a saved state,
    which it goes on from with `state`. `disks` are others, by name; `directory` gets what belongs to this run."""

    def __init__(self, image, qemu, directory, base, state=False, disks=None, wire=hardware.NOWHERE):
        self.directory = Path(directory)
        self.qemu = qemu
        self.share = self.directory / "share"
        self.share.mkdir(parents=True)
        self.make_disks(Path(base), disks or {})
        self.errors = self.directory / "qemu.log"
        arguments = hardware.arguments(qemu, image, self.directory, wire)
        with open(self.errors, "wb") as errors:
            self.process = qemu.start([*arguments, *(["-incoming", "defer"] if state else [])], stdout=errors, stderr=errors)
        try:
            self.qmp = Qmp(self.connect(self.directory / "qmp"))
            self.agent = Agent(self.connect(self.directory / "agent"))
            if state:
                self.map_memory()
                self.qmp.run("migrate-incoming", uri=self.memory(base, "cat '%s'"))
        except BaseException:
            self.close()
            raise

    def make_disks(self, base, disks):
        for name in hardware.DISKS:
            found = [(kind, path) for kind, path in [("raw", disks.get(name)), ("qcow2", base / f"{name}.qcow2"), ("raw", base / f"{name}.img")]
                     if path and path.exists()]
            backing = ["-F", found[0][0], "-b", found[0][1]] if found else []
            workshop.run("qemu-img", "create", "-q", "-f", "qcow2", *backing, self.directory / f"{name}.qcow2",
                         *([] if name == "system" else [hardware.DISK_SIZE]))

    def map_memory(self):
        """Where QEMU can: each page has its place in the file, which is written and read much faster."""
        if self.qemu.maps_memory:
            self.qmp.run("migrate-set-capabilities", capabilities=[{"capability": "mapped-ram", "state": True}])

    def memory(self, directory, command):
        """QEMU's name of the file with the saved memory; `command` reads or writes it for a QEMU that does not by itself."""
        path = Path(directory) / "memory"
        return f"file:{path}" if self.qemu.maps_memory else f"exec:{command % path}"

    def connect(self, path, seconds=20):
        """To a socket that QEMU will have in a moment."""
        deadline = time.monotonic() + seconds
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except OSError as error:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"QEMU does not start: {error}\n{self.errors.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.02)

    def boot(self):
        """Until all that starts by itself has started, or failed to."""
        self.wait_for_agent()
        status, out = self.agent.run("udevadm settle; systemctl is-system-running --wait; systemctl --failed --no-legend", BOOT_SECONDS)
        state = out.split("\n")[0]
        if status or state != "running":
            raise LabError(f"the lab's host is {state}, not running:\n{out}")

    def wait_for_agent(self):
        answers, deadline = self.agent.start("true"), time.monotonic() + BOOT_SECONDS
        while True:
            with contextlib.suppress(queue.Empty):
                answer = answers.get(timeout=0.5)
                if isinstance(answer, LabError):
                    raise answer
                return
            why = self.trouble() or (time.monotonic() > deadline and f"it has not booted within {BOOT_SECONDS} s")
            if why:
                raise LabError(f"the lab's host: {why}")

    def trouble(self):
        """Why nothing more is to be expected of it, if so."""
        if self.process.poll() is not None:
            return f"its QEMU has ended with status {self.process.returncode}: {self.errors.read_text(errors='replace')[-2000:]}"
        return "its kernel has panicked" if PANIC in self.console() else None

    def resume(self):
        """After the state has been read: the clock is the one of then."""
        deadline = time.monotonic() + 60
        while self.qmp.run("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise LabError("QEMU does not get the saved state read")
            time.sleep(0.02)
        self.qmp.run("cont")
        self.agent.check(f"date -s @{time.time():.3f} >/dev/null", patience=60)

    def reboot(self, power_cut=False):
        """As a person would, or as a power cut does: what is not on its disks by then is lost. Ends when it is up again."""
        before = self.agent.check("cat /proc/sys/kernel/random/boot_id")
        if power_cut:
            self.qmp.run("system_reset")
        else:
            self.agent.start("systemctl reboot --no-block")
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(LabError):
                if self.agent.run("cat /proc/sys/kernel/random/boot_id", 5, 10)[1] not in ("", before):
                    self.boot()
                    self.mount_share()
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise LabError(f"the host does not come back from a reboot; its console's last lines:\n{self.last_words()}")

    def mount_share(self):
        self.agent.check(MOUNT_SHARE)

    def run_script(self, directory, name, seconds):
        """A shell script beside others that it may read, in the host."""
        self.mount_share()
        shutil.copytree(directory, self.share / "scripts")
        self.agent.check(f"cp -r {SHARE}/scripts /run/lab-scripts && umount {SHARE} && cd /run/lab-scripts && bash -eu {name}", seconds)

    def save(self, directory):
        """The memory into a file in `directory`; ends QEMU. Nothing of the share may be mounted."""
        # What the kernel remembers of files saves time later; of the disk that each run brings anew it must remember nothing.
        self.agent.check(f"sync; echo 2 >/proc/sys/vm/drop_caches; blockdev --flushbufs {hardware.BUILD_DEVICE}")
        self.qmp.run("stop")
        self.qmp.run("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.map_memory()
        self.qmp.run("migrate", uri=self.memory(directory, "cat >'%s'"))
        deadline = time.monotonic() + 120
        while True:
            progress = self.qmp.run("query-migrate")
            if progress.get("status") == "completed":
                break
            if progress.get("status") == "failed" or time.monotonic() > deadline:
                raise LabError(f"the booted state cannot be saved: {progress}")
            time.sleep(0.05)
        self.qmp.run("quit")
        self.process.wait(30)

    def console(self):
        log = self.directory / "console.log"
        return log.read_text(errors="replace").replace("\r", "") if log.exists() else ""

    def last_words(self):
        """What the console said last."""
        return "\n".join(self.console().splitlines()[-CONSOLE_LINES:])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
