"""Serve one of the example applications: `python -m apimetry.cli.demo.applications NAME PORT`."""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(f"apimetry.cli.demo.applications.{sys.argv[1]}").serve(int(sys.argv[2]))
