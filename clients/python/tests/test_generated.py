"""The generated files are what the scripts generate."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

generate = pytest.importorskip("generate", reason="the source distribution has no scripts")


def test_types_are_those_of_the_published_schemas() -> None:
    expected = generate.generate(generate.repository_schema("server"))
    assert (ROOT / "src/quintet/_protocol.py").read_text() == expected, "run: python scripts/generate.py"


def test_the_blocking_client_is_the_asyncio_client() -> None:
    expected = generate.synchronous((ROOT / "src/quintet/aio.py").read_text())
    assert (ROOT / "src/quintet/sync.py").read_text() == expected, "run: python scripts/generate.py"


def test_a_changed_source_is_noticed() -> None:
    source = (ROOT / "src/quintet/aio.py").read_text()
    assert generate.synchronous(source.replace("run_ended", "run_over")) != generate.synchronous(source)
