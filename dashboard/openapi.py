"""Write the OpenAPI document of the query service to standard output: the page's types are made from it."""

from __future__ import annotations

import sys

import msgspec

from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.openapi import Fragment

sys.stdout.buffer.write(msgspec.json.encode(build_document(QuerySettings(), Fragment())))
