"""The sign-in code that `apimetry serve` prints at its start."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

CODE_LENGTH: Final = 8
CODE_LIFE_S: Final = 600.0
MAX_TRIES: Final = 5

# Without I, O, 0 and 1, which people take for one another. Eight of 32 letters are 40 bits, for five tries.
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class SignInCode:
    """A code that opens one session: once, within CODE_LIFE_S, with MAX_TRIES wrong codes before it is gone.

    Used on the event loop alone. `monotonic` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.text: Final = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))
        self._monotonic = monotonic
        self._ends_at = monotonic() + CODE_LIFE_S
        self._tries_left = MAX_TRIES

    def redeem(self, text: str) -> bool:
        """Return whether `text` is the code, which then is used up. Capitals, spaces and dashes do not matter."""
        if self._tries_left == 0 or self._monotonic() >= self._ends_at:
            return False
        self._tries_left -= 1
        typed = text.upper().replace(" ", "").replace("-", "")
        if not hmac.compare_digest(typed.encode("utf-8", "surrogatepass"), self.text.encode()):
            return False
        self._tries_left = 0
        return True
