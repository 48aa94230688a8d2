from __future__ import annotations

from importlib.metadata import requires

import pytest

from apimetry.serving.aiohttp_internals import ATTRIBUTES, OLDEST_AIOHTTP, check_aiohttp


def test_installed_aiohttp_has_every_part_that_a_connection_uses():
    check_aiohttp()


def test_oldest_aiohttp_is_the_one_that_the_package_requires():
    required = [
        text.partition(";")[0].strip()
        for text in requires("apimetry")
        if "extra == 'server'" in text.replace('"', "'")
    ]
    assert f"aiohttp>={OLDEST_AIOHTTP}" in required


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
        "install aiohttp 3.14.4 or a newer version that apimetry supports"
    )
