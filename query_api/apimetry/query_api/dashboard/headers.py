"""The headers of the dashboard's pages and assets.

The policy lets the page load its own files and ask its own origin, and nothing else: no inline script or style, no
other host, no frame around it, no string that becomes a script.
"""

from __future__ import annotations

from typing import Final

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
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
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
"""No page may frame the dashboard."""

ASSET_HEADERS: Final = {**_COMMON, "Cache-Control": "public, max-age=31536000, immutable"}
"""An asset's name has the hash of its content, so a browser may keep it for ever."""
