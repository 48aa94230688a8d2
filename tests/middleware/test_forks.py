from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: a C fork that interrupts another thread leaves the child with that thread's locks.
SCRIPT = """
import ctypes, os
from apimetry.middleware.forks import _PidMark, make_mark
mark = {make}()
assert mark[0] == 0
mark[0] = 1999
child = ctypes.PyDLL(None).fork()
if child == 0:
    os._exit(mark[0])
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert mark[0] == 1999
"""


@pytest.mark.parametrize("make", ["make_mark", "_PidMark"])
def test_mark_is_a_number_here_and_nothing_in_a_child_that_c_code_forked(make):
    assert subprocess.run([sys.executable, "-c", SCRIPT.format(make=make)], check=False).returncode == 0
