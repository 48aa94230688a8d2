"""One small application per adapter, and one way to call them all: what the contract suite is parametrised over.

Routes of each: `/v1/scores/{identity}` answers `{"score": 1}`, and echoes nothing; `/echo` reads the body and answers
its length; `/unread` answers a POST without reading its body; `/stream` sends three chunks of four bytes;
`/stream-error` sends one and raises; `/boom` raises.

What stands between us and the application is named: `refuse` answers 403 to a request with the header X-Refuse,
`copy` hands on a copy of the request, `again` is our middleware once more, `last-resort` is the application's own
handler of any exception, which answers 503 and `sorry`.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.middleware.aiohttp_adapter import make_aiohttp
from tests.middleware.asgi_adapters import make_fastapi, make_fastapi_inside, make_starlette, make_starlette_inside
from tests.middleware.calling import Adapter
from tests.middleware.django_adapters import make_django, make_django_async
from tests.middleware.wsgi_adapters import make_flask

ADAPTERS: dict[str, Callable[..., Adapter]] = {
    "starlette": make_starlette,
    "starlette-inside": make_starlette_inside,
    "fastapi": make_fastapi,
    "fastapi-inside": make_fastapi_inside,
    "flask": make_flask,
    "django": make_django,
    "django-async": make_django_async,
    "aiohttp": make_aiohttp,
}
