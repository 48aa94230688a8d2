"""The built files of the dashboard as ready answers: read once, compressed at the build, each with its ETag."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
_ENCODINGS = ((".br", "br"), (".gz", "gzip"))


@dataclass(frozen=True)
class Asset:
    """A file by content encoding; `identity` is the file itself."""

    content_type: str
    bodies: Mapping[str, bytes]

    def body_for(self, accept_encoding: str) -> tuple[str, bytes]:
        """Return the smallest body that a client accepts, with its content encoding."""
        accepted = {
            name.strip().lower()
            for name, _, weight in (part.partition(";") for part in accept_encoding.split(","))
            if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        }
        for _, encoding in _ENCODINGS:
            if encoding in accepted and encoding in self.bodies:
                return encoding, self.bodies[encoding]
        return "identity", self.bodies["identity"]


@dataclass(frozen=True)
class Site:
    """All files of one build: the page with its ETag, and the assets by name."""

    page: bytes
    etag: str
    assets: Mapping[str, Asset]
    licenses: str


class Files:
    """Read the built files, and again after another build: `make dashboard-watch` needs no restart."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._built_ns = 0
        self._site: Site | None = None

    def site(self) -> Site | None:
        """Return the files of now; None where the installation has no dashboard."""
        try:
            built_ns = (self._folder / "index.html").stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if built_ns != self._built_ns or self._site is None:
            self._site, self._built_ns = _read(self._folder), built_ns
        return self._site


def _read(folder: Path) -> Site:
    assets = {
        path.name: _asset(path) for path in (folder / "assets").iterdir() if path.suffix not in dict(_ENCODINGS)
    }
    licenses = (folder / "licenses.txt").read_text(encoding="utf-8")
    page = (folder / "index.html").read_bytes()
    etag = f'"{hashlib.sha256(page).hexdigest()[:16]}"'
    return Site(page, etag, MappingProxyType(assets), licenses)


def _asset(path: Path) -> Asset:
    bodies = {"identity": path.read_bytes()}
    for suffix, encoding in _ENCODINGS:
        compressed = path.with_name(path.name + suffix)
        if compressed.is_file():
            bodies[encoding] = compressed.read_bytes()
    return Asset(_TYPES[path.suffix], MappingProxyType(bodies))
