"""A Django project that sends a file."""

from __future__ import annotations

import io

from django.http import FileResponse
from django.urls import path


def send_file(request):
    return FileResponse(io.BytesIO(b"abcdef"), filename="a.txt")


urlpatterns = [path("file", send_file)]
