# SPDX-License-Identifier: Apache-2.0
"""A lab host that runs: its QEMU, its agent, its console, and the booted state that is saved once and restored for each run."""
import contextlib
import ctypes
import hashlib
import json
import os
import queue
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import image
from image import LabError

MEMORY_MB = 3072
CPUS = 2
BOOT_SECONDS = 300
CONSOLE_LINES = 40
# On a machine that is busy an emulated TSC is measured wrong at boot, and time then runs several times too fast: the HPET tells its own rate.
KERNEL_ARGUMENTS = "console=ttyS0 quiet net.ifnames=1 mitigations=off audit=0 nowatchdog clocksource=hpet tsc=unstable"
SHARE = "/share"
MOUNT_SHARE = (f"mkdir -p {SHARE} && modprobe -a 9pnet_virtio 9p && "
               f"mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share {SHARE}")
KVM_PROBE_SECONDS = 5
PR_SET_PDEATHSIG = 1


def kvm_works():
    """Whether a firmware runs on it and says so, which a /dev/kvm that is there and makes virtual CPUs does not promise."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none",
            "-chardev", "stdio,id=said", "-device", "isa-debugcon,iobase=0x402,chardev=said"]
    said = b""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent) as qemu:
        deadline = time.monotonic() + KVM_PROBE_SECONDS
        while b"SeaBIOS" not in said and select.select([qemu.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            data = os.read(qemu.stdout.fileno(), 4096)
            if not data:
                break
            said += data
        qemu.kill()
    return b"SeaBIOS" in said


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Agent:
    """Commands to the host, side by side; answers come as they are ready."""

    def __init__(self, connection):
        self.socket = connection
        self.waiting, self.number, self.lock = {}, 0, threading.Lock()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(OSError), self.socket.makefile("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, AttributeError):
                    answer = json.loads(line)
                    waiting = self.waiting.pop(answer.get("id"), None)
                    if waiting:
                        waiting.put(answer)
        for waiting in list(self.waiting.values()):
            waiting.put(None)

    def start(self, command, timeout=60):
        """A queue that gets the answer; None if the host is gone."""
        answers = queue.Queue()
        with self.lock:
            self.number += 1
            self.waiting[self.number] = answers
            request = {"id": self.number, "command": command, "timeout": timeout}
            try:
                self.socket.sendall((json.dumps(request) + "\n").encode())
            except OSError:
                answers.put(None)
        return answers

    def run(self, command, timeout=60, patience=None):
        """(status, output); `patience` is how long the answer itself may take."""
        try:
            answer = self.start(command, timeout).get(timeout=patience or timeout + 20)
        except queue.Empty:
            raise LabError(f"the lab's agent does not answer to: {command[:200]}") from None
        if answer is None:
            raise LabError("the lab's QEMU has ended")
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
    """`base` is the disk it starts from, which stays as it is; `directory` gets what belongs to this run."""

    def __init__(self, kit, directory, base, base_format, state=None):
        self.directory = Path(directory)
        self.share = self.directory / "share"
        self.share.mkdir(parents=True)
        self.disk = self.directory / "disk.qcow2"
        image.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, self.disk)
        self.errors = self.directory / "qemu.log"
        incoming = ["-incoming", f"exec:cat '{state}'"] if state else []
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([*self.argv(kit), *incoming], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            preexec_fn=die_with_parent)
        try:
            self.qmp = Qmp(self.connect(self.directory / "qmp"))
            self.agent = Agent(self.connect(self.directory / "agent"))
        except BaseException:
            self.close()
            raise

    def argv(self, kit):
        """Devices, and their order, are part of a saved state: a change makes new ones (see Kit)."""
        return [*kit.machine, "-kernel", str(kit.image / "vmlinux"), "-initrd", str(kit.image / "initrd"), "-append", KERNEL_ARGUMENTS,
                "-chardev", f"socket,id=console,path={self.directory}/console,server=on,wait=off,logfile={self.directory}/console.log",
                "-serial", "chardev:console",
                "-qmp", f"unix:{self.directory}/qmp,server=on,wait=off",
                "-drive", f"file={self.disk},if=none,id=disk,format=qcow2,cache=unsafe", "-device", "virtio-blk-pci,drive=disk",
                "-chardev", f"socket,id=agent,path={self.directory}/agent,server=on,wait=off",
                "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=lab",
                "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
                "-device", "vmgenid,guid=auto",
                "-fsdev", f"local,id=share,path={self.share},security_model=none", "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]

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
        self.agent.check("true", patience=BOOT_SECONDS)
        status, out = self.agent.run("udevadm settle; systemctl is-system-running --wait; systemctl --failed --no-legend", BOOT_SECONDS)
        state = out.split("\n")[0]
        if status or state != "running":
            raise LabError(f"the lab's host is {state}, not running:\n{out}")

    def resume(self):
        """After the state has been read: the clock is the one of then."""
        deadline = time.monotonic() + 60
        while self.qmp.run("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise LabError("QEMU does not get the saved state read")
            time.sleep(0.02)
        self.qmp.run("cont")
        self.agent.check(f"date -s @{time.time():.3f} >/dev/null", patience=60)

    def reboot(self):
        """As a person would; ends when it is up again."""
        before = self.agent.check("cat /proc/sys/kernel/random/boot_id")
        self.agent.run("systemctl reboot --no-block")
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

    def save(self, path):
        """The memory into a file; ends QEMU. Nothing of the share may be mounted."""
        self.agent.check("sync; echo 3 >/proc/sys/vm/drop_caches")
        self.qmp.run("stop")
        self.qmp.run("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp.run("migrate", uri=f"exec:cat >'{path}'")
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

    def last_words(self):
        """What the console said last."""
        log = self.directory / "console.log"
        lines = log.read_text(errors="replace").replace("\r", "").splitlines() if log.exists() else []
        return "\n".join(lines[-CONSOLE_LINES:])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Kit:
    """Image, machine and booted state that belong together."""

    def __init__(self, say):
        self.say = say
        self.image = image.ensure(say)
        accelerator, cpu = ("kvm", "host") if kvm_works() else ("tcg,thread=multi", "max")
        self.accelerator = accelerator.split(",")[0]
        self.machine = ["qemu-system-x86_64", "-M", "q35", "-accel", accelerator, "-cpu", cpu, "-m", str(MEMORY_MB), "-smp", str(CPUS),
                        "-nodefaults", "-no-user-config", "-display", "none"]

    def state(self):
        """The directory of the booted state, made if it is not there. It is good for one QEMU, one machine, and this file as it is."""
        version = image.run("qemu-system-x86_64", "--version")
        digest = hashlib.sha256("\n".join([*self.machine, version, Path(__file__).read_text()]).encode()).hexdigest()[:16]
        out = self.image / f"booted-{digest}"
        with image.alone():
            if not out.exists():
                self.say(f"booting the lab once, to keep it booted ({self.accelerator})")
                self.make_state(out)
        return out

    def make_state(self, out):
        part = out.with_name(f"{out.name}.part{os.getpid()}")
        vm = None
        try:
            vm = Vm(self, part, self.image / "root.img", "raw")
            vm.boot()
            vm.save(part / "memory")
            part.rename(out)
        except LabError as error:
            raise LabError(f"{error}\n---- the console's last lines ----\n{vm.last_words() if vm else ''}") from None
        finally:
            if vm:
                vm.close()
            shutil.rmtree(part, ignore_errors=True)
        for old in self.image.glob("booted-*"):
            if old != out:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self, directory):
        """A booted host of its own."""
        state = self.state()
        vm = Vm(self, directory, state / "disk.qcow2", "qcow2", state / "memory")
        try:
            vm.resume()
            vm.mount_share()
        except BaseException:
            vm.close()
            raise
        return vm
