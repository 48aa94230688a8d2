from __future__ import annotations

import pytest

from apimetry.serving.aiohttp_internals import ATTRIBUTES, check_aiohttp


def test_installed_aiohttp_has_every_part_that_a_connection_uses():
    check_aiohttp()


def test_missing_part_of_aiohttp_is_one_sentence_with_version_and_name():
    class Handler:
        """A request handler of another aiohttp: no queue of messages, and no limit on a line."""

        def __init__(  # the options
            self, access_log, auto_decompress, keepalive_timeout, max_field_size, max_headers, read_bufsize
        ):
            raise NotImplementedError

    for name in set(ATTRIBUTES) - {"_messages"}:
        setattr(Handler, name, None)
    with pytest.raises(ImportError) as refusal:
        check_aiohttp(Handler, "9.9")
    assert str(refusal.value) == (
        "apimetry cannot run on aiohttp 9.9: its RequestHandler lacks _messages, the option max_line_size; "
        "install aiohttp 3.11 or a newer version that apimetry supports"
    )
