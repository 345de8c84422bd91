# SPDX-License-Identifier: Apache-2.0
"""What a Volume begins as: a file in whatever format, a linked clone or a full copy of another; hostile files; and a lack of room. What stands in the
directory is read with qemu-img."""
import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from harness import BUILD, EXAMPLES, wait_until

MIB = 1 << 20
FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx")
POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
"""

pytestmark = pytest.mark.needs("qemu-img", "qemu-io")


def volume(name, spec):
    return f"---\napiVersion: weft/v1\nkind: Volume\nmetadata: {{name: {name}}}\nspec: {{pool: local, {spec}}}\n"


def images(host):
    return host.root / "lib/images"


def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def chain(path, format="qcow2"):
    """[(file, format, size)] of an image and what it stands on."""
    found = json.loads(sh(f"qemu-img info -U --backing-chain --output=json -f {format} {path}"))
    return [(os.path.basename(i["filename"]), i["format"], i["virtual-size"]) for i in found]


def info(path, format="qcow2"):
    return json.loads(sh(f"qemu-img info -U --output=json -f {format} {path}"))


def bytes_of(path, tmp_path, format="qcow2"):
    sh(f"qemu-img convert -U -f {format} -O raw {path} {tmp_path}/bytes")
    return (tmp_path / "bytes").read_bytes()


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(host, name, word, timeout=15):
    return wait_until(lambda: (m := host.condition("volume", name).get("message") or "", word in m)[1] and m, timeout, f"{name} says {word!r}")


@pytest.fixture
def files(host):
    """A disk of 8 MiB that begins with a text, to be made into files of all formats."""
    directory = host.root / "lib/files"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "disk.raw").write_bytes(b"begin" + bytes(3 * MIB) + b"end" + bytes(5 * MIB - 8))
    return directory


def test_linked_clones_and_their_base(host, files, tmp_path):
    base = volume("base", "source: {file: disk.raw, format: raw}")
    text = POOL + base + volume("web", "base: base, size: 16MiB, reclaim: delete") + volume("deeper", "base: web, reclaim: delete")
    host.apply(text, "--wait=20s")
    file = images(host) / "base.qcow2"
    before = sum_of(file)
    assert chain(images(host) / "deeper.qcow2") == [("deeper.qcow2", "qcow2", 16 * MIB), ("web.qcow2", "qcow2", 16 * MIB), ("base.qcow2", "qcow2", 8 * MIB)]
    found = info(images(host) / "web.qcow2")
    assert found["backing-filename"] == "base.qcow2" and found["backing-filename-format"] == "qcow2"  # wherever it is mounted, and never probed
    sh(f"qemu-io -f qcow2 -c 'write -P 65 0 64k' {images(host)}/web.qcow2")
    assert bytes_of(images(host) / "deeper.qcow2", tmp_path)[:5] == b"AAAAA" and bytes_of(file, tmp_path)[:5] == b"begin"
    assert sum_of(file) == before
    for name in ("base", "web"):
        done = host.weft("delete", "volume", name, check=False)
        assert done.status == 2 and f"Volume '{name}' c" in done.err, done.err
    for wrong, word in ((text.replace("base: base, ", ""), "the base of a Volume cannot be changed"),
                        (text.replace("base: web", "base: base"), "the base of a Volume cannot be changed"),
                        (text.replace("raw}", "raw}, size: 64MiB"), "is not changed meanwhile")):
        done = host.apply(wrong, check=False)
        assert done.status == 2 and word in done.err, done
    # The base's bytes stay although it says delete, as long as a clone's bytes do that nobody looks after any more.
    host.apply(text.replace("reclaim: delete", "reclaim: keep").replace("format: raw}", "format: raw}, reclaim: delete"), "--wait=20s")
    done = host.weft("delete", "volume", "deeper", "web", "base", "--wait=5s", check=False)
    assert done.status == 3 and "what was deleted is not all gone: volume/" in done.err and "linked clones of it" in done.err, done
    event = wait_until(lambda: [e for e in host.events() if "linked clones of it" in json.dumps(e)], 15)
    assert "web.qcow2" in json.dumps(event) and sum_of(file) == before
    (images(host) / "web.qcow2").unlink()
    (images(host) / "deeper.qcow2").unlink()
    wait_until(lambda: not file.exists(), 90, "with the last clone it may go")


def test_full_clones_are_taken_once(host, files, tmp_path):
    text = POOL + volume("first", "source: {file: disk.raw, format: raw}, format: raw") + volume("linked", "base: first, size: 12MiB") \
        + volume("copy", "clone: linked, size: 16MiB") + volume("plain", "clone: first, format: raw, preallocation: full")
    host.apply(text, "--wait=20s")
    assert chain(images(host) / "copy.qcow2") == [("copy.qcow2", "qcow2", 16 * MIB)]
    assert chain(images(host) / "linked.qcow2")[1:] == [("first.raw", "raw", 8 * MIB)]
    content = (files / "disk.raw").read_bytes()
    assert bytes_of(images(host) / "copy.qcow2", tmp_path) == content + bytes(8 * MIB) and (images(host) / "plain.raw").read_bytes() == content
    assert (images(host) / "plain.raw").stat().st_blocks * 512 >= 8 * MIB
    before = (images(host) / "copy.qcow2").stat()
    host.apply(text.replace("clone: linked, ", ""), "--wait=20s")  # says no more by now
    after = (images(host) / "copy.qcow2").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    # One that was made by somebody else, without a word on what its base is, would have that guessed; and one may stand on files that are no volumes.
    sh(f"cd {images(host)} && qemu-img create -q -f qcow2 -b first.raw -F raw guessed.qcow2")
    header = (images(host) / "guessed.qcow2").read_bytes()
    (images(host) / "guessed.qcow2").write_bytes(header.replace(b"\xe2\x79\x2a\xca\0\0\0\3raw", bytes(11), 1))
    sh(f"qemu-img create -q -f qcow2 -b /etc/shadow -F raw {images(host)}/afar.qcow2")
    host.apply(volume("guessed", "base: first, adopt: true") + volume("afar", "adopt: true") + volume("of-guessed", "clone: guessed") + volume("of-afar", "clone: afar"),
               name="hostile.yaml", check=False)
    refusal(host, "of-guessed", "does not say what 'first.raw'")
    refusal(host, "afar", "is based on '/etc/shadow', which weft does not look after")
    refusal(host, "of-afar", "afar")
    host.weft("delete", "-f", host.scratch / "hostile.yaml", "--wait=20s")
    for name in ("guessed", "afar"):
        (images(host) / f"{name}.qcow2").unlink()
    host.weft("delete", "volume", "linked", "--wait=20s")
    assert host.ready("volume", "copy")


def test_a_source_of_each_format(host, files, tmp_path):
    content, text = (files / "disk.raw").read_bytes(), POOL
    for format in FORMATS:
        options = {"vmdk": "-o subformat=streamOptimized"}.get(format, "")
        sh(f"qemu-img convert -f raw -O {format} {options} {files}/disk.raw {files}/source.{format}")
        source = "source: {file: source.%s, format: %s, sha256: %s}" % (format, format, sum_of(files / f"source.{format}"))
        text += volume(format, source) + volume(f"{format}-raw", source + ", format: raw, size: 16MiB")
    host.apply(text, "--wait=60s")
    for format in FORMATS:
        assert bytes_of(images(host) / f"{format}.qcow2", tmp_path) == content
        assert (images(host) / f"{format}-raw.raw").read_bytes() == content + bytes(8 * MIB)
    assert len(os.listdir(images(host))) == 2 * len(FORMATS)


def test_the_example(host, files, tmp_path):
    sh(f"qemu-img convert -f raw -O vmdk {files}/disk.raw {files}/debian-12.vmdk")
    host.apply((EXAMPLES / "volumes.yaml").read_text().replace("16GiB", "16MiB"), "--wait=30s")
    assert chain(images(host) / "web-1.qcow2") == [("web-1.qcow2", "qcow2", 16 * MIB), ("debian-12.qcow2", "qcow2", 8 * MIB)]
    assert (images(host) / "web-1-copy.raw").read_bytes() == (files / "disk.raw").read_bytes() + bytes(8 * MIB)


def test_hostile_sources(host, files, tmp_path):
    """What an image says it needs is neither copied nor even opened: opening the pipe would hang."""
    os.mkfifo(files / "pipe")
    sh(f"cd {files} && qemu-img create -q -f qcow2 -b /etc/shadow -F raw backed.qcow2 && qemu-img create -q -f qcow2 -o data_file=aside.bin aside.qcow2 8M"
       " && qemu-img create -q -f qcow2 wrapped.qcow2 8M && qemu-img create -q -f vmdk parent.vmdk 8M && qemu-img create -q -f vmdk -b parent.vmdk -F vmdk child.vmdk")
    os.truncate(files / "wrapped.qcow2", 256 << 10)
    (files / "aside.bin").unlink()
    os.mkfifo(files / "aside.bin")
    (files / "list.vmdk").write_text('# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
                                     f'RW 8 FLAT "/etc/shadow" 0\nRW 8 FLAT "{files}/pipe" 0\n')
    embedded = bytearray(struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20)) + bytes(512)
    embedded[512:] = (files / "list.vmdk").read_bytes()
    (files / "embedded.vmdk").write_bytes(embedded + bytes(64 << 10))
    cases = {
        "backed": ("backed.qcow2, format: qcow2", "needs another file, '/etc/shadow'"), "aside": ("aside.qcow2, format: qcow2", "needs another file"),
        "child": ("child.vmdk, format: vmdk", "needs another file"), "list": ("list.vmdk, format: vmdk", "needs another file"),
        "embedded": ("embedded.vmdk, format: vmdk", "needs another file"), "said": ("disk.raw, format: qcow2", "is not a qcow2 image"),
        "device": ("/dev/zero, format: raw", "is not a regular file"), "wrong": ("disk.raw, format: raw, sha256: %s" % ("0" * 64), "is not what the manifest says"),
    }
    text = POOL + volume("wrapped", "source: {file: wrapped.qcow2, format: raw}")  # says raw, so it is
    host.apply(text + "".join(volume(name, "source: {file: %s}, format: raw, size: 64MiB" % source) for name, (source, _) in cases.items()), "--wait=1s", check=False)
    for name, (_, word) in cases.items():
        refusal(host, name, word)
    host.wait_ready("volume", "wrapped")
    wait_until(lambda: os.listdir(images(host)) == ["wrapped.qcow2"], 10)
    assert info(images(host) / "wrapped.qcow2")["virtual-size"] == (files / "wrapped.qcow2").stat().st_size
    assert bytes_of(images(host) / "wrapped.qcow2", tmp_path) == (files / "wrapped.qcow2").read_bytes()
    host.weft("delete", "volume", *cases, "--wait=20s")


def test_no_room_for_a_copy_is_one_sentence(make_host, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    sh(f"mount -t tmpfs -o size=6m,mode=0711 weft-test {small}")
    try:
        host = make_host()  # sees what was mounted before it
        files = host.root / "lib/files"
        files.mkdir(parents=True)
        (files / "disk.raw").write_bytes(os.urandom(8 * MIB))
        pool = POOL.replace("path: images", f"path: {small}")
        host.apply(pool + volume("web", "source: {file: disk.raw, format: raw}"), check=False)
        said = refusal(host, "web", "there is no room")
        assert re.search(r"which needs 8\.\d MiB \((5\.9|6\.0) MiB are free\)", said), said
        wait_until(lambda: os.listdir(small) == [], 5, "no half volume")
        sh(f"mount -o remount,size=40m {small}")
        host.wait_ready("volume", "web", 90)
        # One that cannot grow stays what it is.
        host.apply(pool + volume("web", "size: 64MiB, preallocation: falloc, source: {file: disk.raw, format: raw}"), check=False)
        refusal(host, "web", "there is no room")
        assert info(small / "web.qcow2")["virtual-size"] == 8 * MIB
        sh(f"qemu-img check -f qcow2 {small}/web.qcow2")
        sh(f"mount -o remount,size=200m {small}")
        host.wait_ready("volume", "web", 90)
        assert info(small / "web.qcow2")["virtual-size"] == 64 * MIB
        host.delete_all()
    finally:
        subprocess.run(["umount", "-l", small])


def limited(directory, rate):
    """An environment in which qemu-img copies no faster than that, and does not end while there is a file `hold` in the directory."""
    directory.mkdir()
    real = shutil.which("qemu-img")
    (directory / "qemu-img").write_text(f"""#!/bin/sh
[ "$1" = convert ] || exec {real} "$@"
shift
{real} convert -m 1 -r {rate} "$@" || exit
while [ -e {directory}/hold ]; do sleep 0.1; done
""")
    (directory / "qemu-img").chmod(0o755)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


def on_terminal(host, *args):
    """What a verb writes to a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(BUILD / "weft", ["weft", "--socket", str(host.root / "run/weft.sock"), *map(str, args)])
    said = b""
    with contextlib.suppress(OSError):
        while data := os.read(fd, 65536):
            said += data
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    os.close(fd)
    return said.decode(errors="replace")


def begin(host, text):
    """Applies it and does not wait for the answer."""
    (host.scratch / "manifest.yaml").write_text(text)
    host.popen(BUILD / "weft", "--socket", host.root / "run/weft.sock", "apply", "-f", host.scratch / "manifest.yaml",
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_how_far_a_copy_is(make_host, tmp_path):
    host = make_host(environment=limited(tmp_path / "slow", "4M"))
    files = host.root / "lib/files"
    files.mkdir(parents=True)
    (files / "disk.raw").write_bytes(os.urandom(12 * MIB))
    text = POOL + volume("web", "source: {file: disk.raw, format: raw}, reclaim: delete")
    (tmp_path / "slow/hold").touch()
    begin(host, text + "".join(volume(f"other-{i}", "size: 1MiB, reclaim: delete") for i in range(8)))
    seen = []

    def watched():
        if found := host.condition("volume", "web", "Progressing").get("message"):
            seen.append(int(re.fullmatch(r"copying: (\d+) %", found)[1]))
        return seen[-1:] == [100] and all(host.ready("volume", f"other-{i}") for i in range(8))
    wait_until(watched, 60, "others do not wait for it")
    assert not host.ready("volume", "web")
    (tmp_path / "slow/hold").unlink()
    host.wait_ready("volume", "web")
    assert len(set(seen)) > 1 and seen == sorted(seen) and 0 <= seen[0] and seen[-1] <= 100
    assert host.condition("volume", "web", "Progressing") == {}
    host.weft("delete", "volume", *(f"other-{i}" for i in range(8)), "web", "--wait=20s")
    (host.scratch / "manifest.yaml").write_text(text)
    said = on_terminal(host, "apply", "-f", host.scratch / "manifest.yaml", "--wait=60s")
    assert re.search(r"Volume/web +copying \[#+-+\] +\d+ %", said), said
    host.weft("delete", "volume", "web", "--wait=20s")
    # Into a pipe it is silent.
    done = host.apply(text, "--wait=60s")
    assert "%" not in done.out + done.err
    # What is called off or taken back while it is being made leaves nothing.
    host.weft("delete", "volume", "web", "--wait=20s")
    begin(host, text)
    wait_until(lambda: host.condition("volume", "web", "Progressing").get("message"), 20)
    host.weft("rollback")
    wait_until(lambda: not images(host).exists() or os.listdir(images(host)) == [], 20, "half a volume stays")


def running(*words):
    """Processes whose command lines hold all of them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if all(word in path.read_text(errors="replace") for word in words):
                found.append(int(path.parent.name))
    return sorted(found)


def answered(host, *args, status=0):
    """Long before what is held ends, which is never."""
    done = host.weft(*args, check=False, timeout=10)
    assert done.status == status, done
    return done


@pytest.mark.needs("qemu-system-x86_64")
def test_changes_beside_a_copy_that_does_not_end(make_host, tmp_path):
    slow = tmp_path / "slow"
    host = make_host(environment=limited(slow, "1G"))
    files = host.root / "lib/files"
    files.mkdir(parents=True)
    for name in ("first.raw", "second.raw"):
        (files / name).write_bytes(os.urandom(2 * MIB))
    guest = "---\napiVersion: weft/v1\nkind: Guest\nmetadata: {name: web}\n" \
            "spec: {memory: {size: 32MiB}, shutdownTimeout: 1s, disks: [{volume: data}]}\n"
    host.apply(POOL + volume("data", "size: 1MiB") + guest, "--wait=60s")
    (slow / "hold").touch()

    def copy(source):
        return volume("copy", f"source: {{file: {source}, format: raw}}, format: raw, reclaim: delete")

    def put(text, *args, **expected):
        (host.scratch / "manifest.yaml").write_text(text)
        return answered(host, "apply", "-f", host.scratch / "manifest.yaml", *args, **expected)

    def copiers():
        """The first of them: it is a script, whose children come and go."""
        return running(str(slow), "convert")[:1]

    def held():
        """It is under way, and its revision is final."""
        wait_until(copiers, 30)
        host.apply(POOL)

    begin(host, copy("first.raw"))
    held()
    process = copiers()
    assert "volume/local/copy" in answered(host, "diff", status=3).out
    put(volume("other", "size: 1MiB"), "--wait=9s")
    assert info(images(host) / "other.qcow2")["virtual-size"] == MIB
    put("apiVersion: weft/v1\nkind: Pool\nmetadata: {name: more}\nspec: {type: dir, path: more}\n", "--wait=9s")
    put(volume("data", "size: 2MiB"))
    wait_until(lambda: info(images(host) / "data.qcow2")["virtual-size"] == 2 * MIB, 20)
    put(volume("third", "size: 1MiB"), "--dry-run")
    answered(host, "guest", "stop", "web")
    wait_until(lambda: not any("qemu-system" in line for line in host.pids().values()), 30)
    answered(host, "delete", "volume", "other")
    answered(host, "rollback")
    assert copiers() == process, "all that time it went on"
    # What it is to begin as is something else; nobody wants it; nobody wanted it.
    begin(host, copy("second.raw"))
    wait_until(lambda: copiers() and copiers() != process, 20, "the copy of the first is called off")
    held()
    answered(host, "delete", "volume", "copy", "--wait=9s")
    assert not copiers()
    begin(host, copy("first.raw"))
    held()
    answered(host, "rollback")
    wait_until(lambda: not copiers(), 20)
    assert not [name for name in os.listdir(images(host)) if "copy" in name], "half a volume stays"
    (slow / "hold").unlink()
    host.apply(copy("second.raw"), "--wait=30s")
    assert (images(host) / "copy.raw").read_bytes() == (files / "second.raw").read_bytes()


def test_changes_beside_a_look_that_does_not_end(make_host, tmp_path):
    real, hold = shutil.which("qemu-img"), tmp_path / "hold"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qemu-img").write_text(f"""#!/bin/sh
case "$*" in info*web.qcow2*) while [ -e {hold} ]; do sleep 0.1; done;; esac
exec {real} "$@"
""")
    (tmp_path / "bin/qemu-img").chmod(0o755)
    host = make_host(environment={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    host.apply(POOL + volume("web", "size: 1MiB"), "--wait=60s")
    hold.touch()
    image = images(host) / "web.qcow2"

    def looks():
        """One is under way."""
        image.rename(image.with_name("away"))
        image.with_name("away").rename(image)
        wait_until(lambda: running(str(hold.parent), "info", "web.qcow2"), 30)
    looks()
    manifest = host.scratch / "manifest.yaml"
    for text in (volume("other", "size: 1MiB"), volume("web", "size: 2MiB"), volume("web", "size: 1MiB")):
        manifest.write_text(text)
        plan = host.weft("diff", "-f", manifest, check=False, timeout=10)
        assert "last seen" in plan.out + plan.err and (plan.status == 3 or text == volume("web", "size: 1MiB")), plan
        answered(host, "apply", "-f", manifest)
        looks()
    wait_until(lambda: host.weft("diff", check=False, timeout=10).status == 3, 20, "nobody knows how it is")
    answered(host, "rollback")
    answered(host, "delete", "volume", "web")
    hold.unlink()
    host.apply(volume("web", "size: 2MiB"), "--wait=60s")
    assert info(image)["virtual-size"] == 2 * MIB


def layout(path, format="raw"):
    """(bytes taken up, bytes with data in the file, bytes of the disk that have a place in it) in MiB."""
    def mapped(format, key):
        return sum(e["length"] for e in json.loads(sh(f"qemu-img map -U --output=json -f {format} {path}")) if e[key])
    os.sync()
    return tuple(round(n / MIB) for n in (path.stat().st_blocks * 512, mapped("raw", "data"), mapped(format, "present")))


# What each is to come to, of a disk of N MiB. The tables of qcow2 are less than one of them, and nothing of a raw image is without a place.
PREALLOCATIONS = {"raw": {"off": (0, 0, 1), "falloc": (1, 0, 1), "full": (1, 1, 1)},
                  "qcow2": {"off": (0, 0, 0), "metadata": (0, 0, 1), "falloc": (1, 0, 1), "full": (1, 1, 1)}}


def test_preallocation(host):
    """What stat and qemu-img see allocated, written, and given a place, of a new volume and of one that has grown."""
    all_of = [(format, how) for format, hows in PREALLOCATIONS.items() for how in hows]

    def text(size):
        return POOL + "".join(volume(f"{format}-{how}", f"size: {size}MiB, format: {format}, preallocation: {how}") for format, how in all_of)
    for size in (8, 12):
        host.apply(text(size), "--wait=60s")
        wait_until(lambda: {info(images(host) / f"{f}-{h}.{f}", f)["virtual-size"] for f, h in all_of} == {size * MIB}, 30)  # noqa: B023
        found = {(f, h): layout(images(host) / f"{f}-{h}.{f}", f) for f, h in all_of}
        assert found == {(f, h): tuple(n * size for n in PREALLOCATIONS[f][h]) for f, h in all_of}
    assert host.diff() == [], "what it was made with is no difference afterwards"
    refused = host.apply(POOL + volume("tables", "size: 8MiB, format: raw, preallocation: metadata"), check=False)
    assert refused.status == 2 and "a raw image has no tables" in refused.err
