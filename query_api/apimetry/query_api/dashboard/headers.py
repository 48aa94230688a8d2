"""The headers of the dashboard's pages and assets.

The policy lets the page load its own files and ask its own origin, and nothing else: no inline script or style, no
other host, no frame around it, no string that becomes a script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors};"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

PAGE_HEADERS: Final = {
    **_COMMON,
    "Content-Security-Policy": _POLICY.format(ancestors="'none'"),
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
"""No page may frame the dashboard."""

ASSET_HEADERS: Final = {**_COMMON, "Cache-Control": "public, max-age=31536000, immutable"}
"""An asset's name has the hash of its content, so a browser may keep it for ever."""


def headers_framed_by(origins: Sequence[str]) -> Mapping[str, str]:
    """Return the headers of a page that pages of these origins may frame; without origins nobody may.

    A frame's page is no resource of the page around it, and an old browser would take X-Frame-Options for no origin.
    """
    if not origins:
        return PAGE_HEADERS
    left_out = ("X-Frame-Options", "Cross-Origin-Resource-Policy")
    headers = {name: value for name, value in PAGE_HEADERS.items() if name not in left_out}
    return {**headers, "Content-Security-Policy": _POLICY.format(ancestors=" ".join(origins))}
