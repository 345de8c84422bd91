#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A filesystem that hangs when it is told to: a directory shown at another place by a FUSE server that speaks the kernel's protocol itself. Stopped
(SIGSTOP), it answers nothing, as a dead server of files does; whoever asks waits until it goes on (SIGCONT), or is killed. What the kernel remembers
it remembers for no time at all, so that everybody asks.

    hungfs.py SOURCE PLACE      mounts, says so in a line, and serves until it is unmounted"""
import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys

HEADER, REPLY, ATTR, ENTRY = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ"), struct.Struct("<QQQQQQIIIIIIIIII"), struct.Struct("<QQQQII")
MAX_WRITE, ROOT = 128 << 10, 1


class Server:
    def __init__(self, source, place):
        self.paths, self.ids = {ROOT: source}, {source: ROOT}
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"hungfs", place.encode(), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), f"mount {place}")

    # ---- what goes over the wire ----

    def attr(self, path):
        st = os.lstat(path)
        times = [divmod(ns, 10**9) for ns in (st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns)]
        return ATTR.pack(st.st_ino, st.st_size, st.st_blocks, *(t[0] for t in times), *(t[1] for t in times), st.st_mode, st.st_nlink, st.st_uid,
                         st.st_gid, st.st_rdev, st.st_blksize, 0)

    def entry(self, path):
        attr = self.attr(path)
        number = self.ids.setdefault(path, len(self.paths) + 1)
        self.paths[number] = path
        return ENTRY.pack(number, 0, 0, 0, 0, 0) + attr

    def child(self, node, name):
        return os.path.join(self.paths[node], os.fsdecode(name))

    def moved(self, old, new):
        """Who has it open goes on by its number."""
        for path in [p for p in self.ids if p == old or p.startswith(old + "/")]:
            number = self.ids.pop(path)
            self.paths[number] = new + path[len(old):]
            self.ids[self.paths[number]] = number

    # ---- requests, by their numbers ----

    def init(self, node, data):
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, MAX_WRITE, 1, 0, 0, 0)

    def lookup(self, node, data):
        return self.entry(self.child(node, data[:-1]))

    def getattr(self, node, data):
        return struct.pack("<QII", 0, 0, 0) + self.attr(self.paths[node])

    def setattr(self, node, data):
        valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _ = struct.unpack("<IIQQQQQQIIIIIIII", data)
        path = self.paths[node]
        if valid & 1:
            os.chmod(path, mode & 0o7777)
        if valid & 6:
            os.chown(path, uid if valid & 2 else -1, gid if valid & 4 else -1)
        if valid & 8:
            os.truncate(path, size)
        if valid & 0x30 == 0x30 and not valid & 0x180:
            os.utime(path, ns=(atime * 10**9 + atime_ns, mtime * 10**9 + mtime_ns))
        return self.getattr(node, data)

    def mkdir(self, node, data):
        path = self.child(node, data[8:-1])
        os.mkdir(path, struct.unpack_from("<I", data)[0] & 0o7777)
        return self.entry(path)

    def unlink(self, node, data):
        path = self.child(node, data[:-1])
        os.unlink(path)
        self.ids.pop(path, None)

    def rmdir(self, node, data):
        os.rmdir(self.child(node, data[:-1]))

    def rename_at(self, node, directory, names, flags):
        old, new = names[:-1].split(b"\0")
        old, new = self.child(node, old), self.child(directory, new)
        if flags & ~1:
            raise OSError(errno.EINVAL, "flags")
        if flags and os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, new)
        os.rename(old, new)
        self.ids.pop(new, None)
        self.moved(old, new)

    def rename(self, node, data):
        self.rename_at(node, struct.unpack_from("<Q", data)[0], data[8:], 0)

    def rename2(self, node, data):
        directory, flags, _ = struct.unpack_from("<QII", data)
        self.rename_at(node, directory, data[16:], flags)

    def link(self, node, data):
        path = self.child(node, data[8:-1])
        os.link(self.paths[struct.unpack_from("<Q", data)[0]], path)
        return self.entry(path)

    def open(self, node, data):
        flags = struct.unpack_from("<I", data)[0] & (os.O_ACCMODE | os.O_APPEND | os.O_TRUNC)
        return struct.pack("<QII", os.open(self.paths[node], flags), 1, 0)  # past the page cache

    def create(self, node, data):
        flags, mode = struct.unpack_from("<II", data)
        path = self.child(node, data[16:-1])
        fd = os.open(path, flags & (os.O_ACCMODE | os.O_EXCL | os.O_TRUNC) | os.O_CREAT, mode & 0o7777)
        return self.entry(path) + struct.pack("<QII", fd, 1, 0)

    def read(self, node, data):
        fd, offset, size = struct.unpack_from("<QQI", data)
        return os.pread(fd, size, offset)

    def write(self, node, data):
        fd, offset, size = struct.unpack_from("<QQI", data)
        return struct.pack("<II", os.pwrite(fd, data[40:40 + size], offset), 0)

    def statfs(self, node, data):
        fs = os.statvfs(self.paths[ROOT])
        return struct.pack("<QQQQQIIII24x", fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree, fs.f_bsize, fs.f_namemax, fs.f_frsize, 0)

    def release(self, node, data):
        os.close(struct.unpack_from("<Q", data)[0])

    def fsync(self, node, data):
        os.fsync(struct.unpack_from("<Q", data)[0])

    def nothing(self, node, data):
        return b""

    def setxattr(self, node, data):
        size, flags = struct.unpack_from("<II", data)
        name, value = data[8:].split(b"\0", 1)
        os.setxattr(self.paths[node], name, value[:size], flags)

    def xattr_answer(self, data, value):
        size = struct.unpack_from("<I", data)[0]
        if size and len(value) > size:
            raise OSError(errno.ERANGE, "size")
        return value if size else struct.pack("<II", len(value), 0)

    def getxattr(self, node, data):
        return self.xattr_answer(data, os.getxattr(self.paths[node], data[8:-1]))

    def listxattr(self, node, data):
        return self.xattr_answer(data, b"".join(os.fsencode(name) + b"\0" for name in os.listxattr(self.paths[node])))

    def removexattr(self, node, data):
        os.removexattr(self.paths[node], data[:-1])

    def opendir(self, node, data):
        return struct.pack("<QII", 0, 0, 0)

    def readdir(self, node, data):
        _, offset, size = struct.unpack_from("<QQI", data)
        out, path = b"", self.paths[node]
        for i, name in enumerate([b".", b"..", *sorted(os.listdir(os.fsencode(path)))][offset:], offset + 1):
            one = struct.pack("<QQII", 1, i, len(name), 0) + name
            one += bytes(-len(one) % 8)
            if len(out) + len(one) > size:
                break
            out += one
        return out

    def fallocate(self, node, data):
        fd, offset, length, mode = struct.unpack_from("<QQQI", data)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "mode")
        os.posix_fallocate(fd, offset, length)

    def lseek(self, node, data):
        fd, offset, whence = struct.unpack_from("<QQI", data)
        return struct.pack("<Q", os.lseek(fd, offset, whence))

    OPS = {1: lookup, 3: getattr, 4: setattr, 9: mkdir, 10: unlink, 11: rmdir, 12: rename, 13: link, 14: open, 15: read, 16: write, 17: statfs, 18: release,
           20: fsync, 21: setxattr, 22: getxattr, 23: listxattr, 24: removexattr, 25: nothing, 26: init, 27: opendir, 28: readdir, 29: nothing, 30: nothing,
           35: create, 43: fallocate, 45: rename2, 46: lseek}
    UNANSWERED = {2, 36, 42}  # forget, interrupt, batch forget

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, MAX_WRITE + 4096)
            except OSError as e:
                if e.errno == errno.ENODEV:
                    return  # unmounted
                continue
            _, code, unique, node = HEADER.unpack_from(request)[:4]
            if code in self.UNANSWERED:
                continue
            error, out = 0, b""
            try:
                out = self.OPS[code](self, node, request[HEADER.size:]) or b""
            except KeyError:
                error = errno.ENOSYS
            except OSError as e:
                error = e.errno
            try:
                os.write(self.fd, REPLY.pack(REPLY.size + len(out), -error, unique) + out)
            except OSError:
                pass  # whoever asked is gone


class HungFs:
    """For tests: `place` shows `source`; hang() and go_on()."""

    def __init__(self, directory):
        self.source, self.place = directory / "behind", directory / "shown"
        for one in (self.source, self.place):
            one.mkdir(parents=True)
        self.server = subprocess.Popen([sys.executable, __file__, self.source, self.place], stdout=subprocess.PIPE)
        if not self.server.stdout.readline():
            raise OSError("the filesystem could not be mounted")

    def hang(self):
        self.server.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.server.send_signal(signal.SIGCONT)

    def end(self):
        """Whoever still waits for it is told that it is gone."""
        self.server.kill()
        self.server.wait()
        subprocess.run(["umount", "-l", self.place], check=True)


if __name__ == "__main__":
    server = Server(os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]))
    print("mounted", flush=True)
    server.serve()
