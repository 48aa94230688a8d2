"""The keys of all tests: well-formed, and known only to the services that a test starts with them."""

from __future__ import annotations

ADMIN_KEY = "apimetry_a_" + "A" * 37
WRITE_KEY = "apimetry_w_" + "W" * 37
READ_KEY = "apimetry_r_" + "R" * 37

OTHER_WRITE_KEY = "apimetry_w_" + "V" * 37
"""The write key of another application."""

UNKNOWN_WRITE_KEY = "apimetry_w_" + "U" * 37
UNKNOWN_READ_KEY = "apimetry_r_" + "U" * 37
