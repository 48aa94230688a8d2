"""Name the software behind a User-Agent text: a browser, a library or a bot, without its version.

ua-parser's rules name what they know. Most of the rest are libraries and services, whose text begins with their name
and version ("python-httpx/0.27.0", RFC 9110, section 10.1.5): there, it is the name that they give themselves.

Invariants:
- A text that was seen lately costs one look-up. At most MAX_TEXTS texts are remembered; each has 512 characters at
  most, and takes TEXT_BYTES at most.
- Another text costs 10 µs, a browser's some 20 µs, and the worst that anybody may think of 1.5 ms. Whoever sends
  requests to an application may make up texts without end. So the rules get a tenth of a core, and RULES_BURST_S at
  once: that is more than 5,000 new texts a second. Beyond it, a text is named by its beginning alone.
- The rules are compiled with the first text, in some 200 ms, and take 32 MB from then on.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable
from typing import Final

from apimetry.store.native import Values

MAX_TEXTS: Final = 4_096
TEXT_BYTES: Final = 2_500
RULES_SHARE: Final = 0.1
RULES_BURST_S: Final = 0.5
MAX_CHARACTERS: Final = 64
OTHER: Final = "Other"
_PRODUCT: Final = re.compile(r"[A-Za-z][\w.+-]{0,63}(?=[/ ;(]|$)", re.ASCII)
# Nearly every browser, and many a bot, begins with this name.
_NO_NAMES: Final = frozenset({"Mozilla", "Opera"})

Find = Callable[[str], str | None]


class UserAgents:
    """Names user agents, in any thread. `clock_s` is any clock that only goes forward.

    Mutable state: the names of two generations of texts, and the time that the rules may still take. All of it is
    written under the lock.
    """

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._left_s = RULES_BURST_S
        self._at_s = clock_s()

    def families(self, texts: Values) -> Values:
        """Return the name for each text; an empty text has an empty name."""
        if not any(texts):
            return ("",) * len(texts)
        known = self._young
        return [(known.get(text) or self._name(text)) if text else "" for text in texts]

    def _name(self, text: str) -> str:
        with self._lock:
            name = self._young.get(text) or self._old.get(text)
            if name is None:
                find = rules()
                self._refill()
                if self._left_s <= 0:
                    # Not remembered: later the rules may know better.
                    return _own_name(text)
                name = (find(text) or _own_name(text))[:MAX_CHARACTERS]
                self._left_s -= self._clock_s() - self._at_s
            if len(self._young) >= MAX_TEXTS // 2:
                self._old, self._young = self._young, {}
            self._young[text] = name
            return name

    def _refill(self) -> None:
        now_s = self._clock_s()
        self._left_s = min(RULES_BURST_S, self._left_s + RULES_SHARE * (now_s - self._at_s))
        self._at_s = now_s


def _own_name(text: str) -> str:
    product = _PRODUCT.match(text)
    return product[0] if product and product[0] not in _NO_NAMES else OTHER


@functools.lru_cache(1)
def rules() -> Find:
    """Return ua-parser's rules, as a function from a text to the name of its software, or to None."""
    from ua_parser import Domain  # noqa: PLC0415 - most applications record no user agent and need no rules
    from ua_parser.loaders import load_builtins  # noqa: PLC0415 - likewise
    from ua_parser.regex import Resolver  # noqa: PLC0415 - likewise

    resolver = Resolver(load_builtins())

    def find(text: str) -> str | None:
        user_agent = resolver(text, Domain.USER_AGENT).user_agent
        return user_agent.family if user_agent else None

    return find
