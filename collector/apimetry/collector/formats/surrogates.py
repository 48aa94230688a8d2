r"""Replace halves of characters in JSON: a sender that cuts a text of UTF-16 may leave one half of a character.

JavaScript writes such a half as an escape, `\ud83d`, and JSON has no character for it. So decoders refuse the whole
body. With the half replaced, one cut text costs no event.
"""

from __future__ import annotations

import re
from typing import Final

MAX_REPLACED: Final = 100_000
"""In one body: each takes one to two µs."""
_HIGH: Final = rb"\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F]"
_LOW: Final = rb"\\u[dD][c-fC-F][0-9a-fA-F][0-9a-fA-F]"
# A backslash behind an odd number of backslashes begins no escape.
_HALVES: Final = re.compile(rb"(?<!\\)((?:\\\\)*)(?:%b(?!%b)|(?<!%b)%b)" % (_HIGH, _LOW, _HIGH, _LOW))


def replace_halves(body: bytes) -> bytes:
    """Return the JSON with U+FFFD in place of each half of a character; the body itself if it has none."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _HALVES.sub(rb"\1\\ufffd", body, count=MAX_REPLACED)
