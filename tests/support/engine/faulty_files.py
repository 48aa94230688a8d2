"""A file system in memory that can lose its power, fill up and fail, as `apimetry.collector.spool.files.Files`.

It knows three states of a file's bytes: written, synced, and lost (a failed fsync marks them clean, as Linux does, so
that a later fsync does not save them); and two of a name: changed, and synced with its folder.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field


@dataclass
class Node:
    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    lost_from: int | None = None


class FaultyFiles:
    def __init__(self):
        self.names_now: dict[str, Node] = {}
        self.names_durable: dict[str, Node] = {}
        self.operations: list[tuple[str, str, object]] = []
        self.handles: dict[int, Node] = {}
        self.locked = False
        self.next_handle = 3
        self.capacity = None
        self.faults: dict[str, list[int]] = {}
        self.calls: list[str] = []

    # faults

    def fail(self, call, error=errno.EIO, times=1):
        self.faults.setdefault(call, []).extend([error] * times)

    def clear_faults(self):
        self.faults.clear()
        self.capacity = None

    def _maybe_fail(self, call):
        self.calls.append(call)
        queue = self.faults.get(call)
        if queue:
            code = queue.pop(0)
            raise OSError(code, os.strerror(code))

    @property
    def used(self):
        return sum(len(node.data) for node in {id(n): n for n in self.names_now.values()}.values())

    def kill(self):
        """The process dies; the page cache lives on."""
        self.handles.clear()
        self.locked = False

    def lose_power(self, seed=0):
        """Un-fsync'd bytes survive in part, un-synced names up to a point, as a journal leaves them."""
        rng = random.Random(seed)
        survive = rng.randint(0, len(self.operations))
        for kind, name, what in self.operations[:survive]:
            if kind == "set":
                self.names_durable[name] = what
            else:
                self.names_durable.pop(name, None)
        self.operations.clear()
        for node in {id(n): n for n in self.names_durable.values()}.values():
            self._lose(node, rng)
        self.names_now = dict(self.names_durable)
        self.kill()

    @staticmethod
    def _lose(node, rng):
        written, durable = bytes(node.data), node.durable
        if written[: len(durable)] == durable:
            torn = rng.randint(len(durable), len(written))
            end = rng.choice([len(durable), torn, len(written)])
            surviving = written[:end]
            # After a failed fsync the bytes may be gone, or on the disk all the same.
            if node.lost_from is not None and len(surviving) > node.lost_from and rng.random() < 0.5:
                surviving = surviving[: node.lost_from]
        else:
            surviving = rng.choice([written, durable])
        node.data, node.durable, node.lost_from = bytearray(surviving), surviving, None

    # Files

    def make_folder(self, path):
        return None

    def lock(self, path, owner):
        if self.locked:
            raise BlockingIOError(f"{path} is held by process 1")
        self.locked = True
        handle = self._handle(Node())
        self.lock_handle = handle
        return handle

    def _handle(self, node):
        self.next_handle += 1
        self.handles[self.next_handle] = node
        return self.next_handle

    def create(self, path):
        self._maybe_fail("create")
        if str(path) in self.names_now:
            raise FileExistsError(errno.EEXIST, "exists")
        node = Node()
        self.names_now[str(path)] = node
        self.operations.append(("set", str(path), node))
        return self._handle(node)

    def reopen(self, path):
        return self._handle(self._node(path))

    def _node(self, path):
        node = self.names_now.get(str(path))
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return node

    def write(self, handle, data):
        node = self.handles[handle]
        room = len(data) if self.capacity is None else max(0, self.capacity - self.used)
        try:
            self._maybe_fail("write")
        except OSError:
            node.data += data[: len(data) // 2]
            raise
        node.data += data[:room]
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self, handle):
        node = self.handles[handle]
        try:
            self._maybe_fail("sync")
        except OSError:
            if node.lost_from is None:
                node.lost_from = len(node.durable)
            raise
        if node.lost_from is None:
            node.durable = bytes(node.data)

    def truncate(self, handle, length):
        self._maybe_fail("truncate")
        del self.handles[handle].data[length:]

    def close(self, handle):
        if handle == getattr(self, "lock_handle", None):
            self.locked = False
        self.handles.pop(handle, None)

    def read(self, path, limit=-1):
        self._maybe_fail("read")
        data = bytes(self._node(path).data)
        return data if limit < 0 else data[:limit]

    def size(self, path):
        return len(self._node(path).data)

    def names(self, folder):
        prefix = f"{folder}/"
        return sorted(
            n[len(prefix) :] for n in self.names_now if n.startswith(prefix) and "/" not in n[len(prefix) :]
        )

    def rename(self, old, new):
        self._maybe_fail("rename")
        node = self._node(old)
        del self.names_now[str(old)]
        self.names_now[str(new)] = node
        # One entry of a journal: both names change or neither does.
        self.operations.append(("set", str(new), node))
        self.operations.append(("drop", str(old), None))

    def remove(self, path):
        self._maybe_fail("remove")
        self._node(path)
        del self.names_now[str(path)]
        self.operations.append(("drop", str(path), None))

    def sync_folder(self, folder):
        self._maybe_fail("sync_folder")
        prefix = f"{folder}/"
        rest = []
        for kind, name, what in self.operations:
            if not name.startswith(prefix) or "/" in name[len(prefix) :]:
                rest.append((kind, name, what))
            elif kind == "set":
                self.names_durable[name] = what
            else:
                self.names_durable.pop(name, None)
        self.operations = rest
