# SPDX-License-Identifier: Apache-2.0
"""Saved states of the lab's host: `base` is what has booted; each script in states/ is a state that it makes of a restored base. They are kept
beside the image they belong to, and restored for each run."""
import hashlib
import os
import shutil

import emulator
import hardware
import image
import vm
import workshop
from workshop import LabError

SCRIPTS = workshop.HERE / "states"
SCRIPT_SECONDS = 300
# What all tests run, read into memory once.
WARM_UP = ("cd /tmp && python3 -m pytest --version; python3 -c 'import jsonschema, pyroute2, pyte, yaml'; ip -j link; ip netns add warm; "
           "ip netns exec warm sh -c 'nft list ruleset; iptables-save'; ip netns del warm; dnsmasq --version; qemu-img --version")


class Kit:
    """Image, QEMU and states that belong together."""

    def __init__(self, say):
        self.say = say
        self.image = image.ensure(say)
        self.qemu = emulator.Emulator(say)

    def directory(self, name):
        """A state is good for one QEMU and one machine, and for what it was made with."""
        digest = hashlib.sha256("\n".join([WARM_UP, self.qemu.version, *hardware.arguments(self.qemu, "IMAGE", "DIRECTORY")]).encode())
        if name != "base":
            for path in (SCRIPTS / f"{name}.sh", *sorted(SCRIPTS.iterdir())):
                if not path.exists():
                    raise LabError(f"the lab has no state '{name}': {', '.join(names())} are what it has")
                digest.update(path.read_bytes())
        return self.image / f"state-{name}-{digest.hexdigest()[:16]}"

    def state(self, name="base"):
        """The directory of a saved state, made if it is not there."""
        out = self.directory(name)
        base = None if name == "base" else self.state("base")
        with workshop.alone():
            if not out.exists():
                workshop.forget_old()
                self.say(f"making the state '{name}', to keep it ({self.qemu.accelerator})")
                self.make(name, out, base)
            os.utime(out)
        return out

    def make(self, name, out, base):
        part = out.with_name(f"{out.name}.part{os.getpid()}")
        host = None
        try:
            host = vm.Vm(self.image, self.qemu, part, base or self.image, state=base is not None)
            if base:
                host.resume()
                host.run_script(SCRIPTS, f"{name}.sh", SCRIPT_SECONDS)
            else:
                host.boot()
                host.agent.run(WARM_UP, SCRIPT_SECONDS)
            host.save(part)
            part.rename(out)
        except LabError as error:
            raise LabError(f"{error}\n---- the console's last lines ----\n{host.last_words() if host else ''}") from None
        finally:
            if host:
                host.close()
            shutil.rmtree(part, ignore_errors=True)

    def restore(self, directory, name="base", **options):
        """A host of its own that goes on from a saved state; `options` are those of vm.Vm."""
        host = vm.Vm(self.image, self.qemu, directory, self.state(name), state=True, **options)
        try:
            host.resume()
            host.mount_share()
        except BaseException:
            host.close()
            raise
        return host


def names():
    return ["base", *sorted(path.stem for path in SCRIPTS.glob("*.sh") if path.stem != "lib")]
