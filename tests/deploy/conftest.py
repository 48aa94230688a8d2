"""One service for the tests that need a real one."""

from __future__ import annotations

import pytest

from tests.support.services.processes import BOOTSTRAP, running


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Run collector and query service with the test keys."""
    with running("serve", data_dir=tmp_path_factory.mktemp("data"), **BOOTSTRAP) as service:
        yield service
