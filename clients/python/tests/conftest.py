"""A real service: the binary named by CLIENTS_TEST_BINARY, started by a test and stopped by a signal."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quintet import AsyncQuintet, Quintet, dev_login

BINARY = os.environ.get("CLIENTS_TEST_BINARY")


class Service:
    """A running service."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0") -> None:
        self.folder = folder
        assert BINARY is not None
        self._process = subprocess.Popen(
            [BINARY, "dev", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the service ended: {self._process.wait()}"
        self.listen: str = json.loads(line)["listen"]
        self.url = f"http://{self.listen}"

    def stop(self, *, kill: bool) -> None:
        """Stops the service, at once or with a drain, and waits for its end."""
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def restart(self) -> None:
        """Starts the service again on the same address and data."""
        self.__init__(self.folder, self.listen)  # type: ignore[misc]

    def client(self, user_id: str) -> Quintet:
        """Returns a client of a user."""
        return Quintet(self.url, dev_login(self.url, user_id))

    def async_client(self, user_id: str) -> AsyncQuintet:
        """Returns an asyncio client of a user."""
        return AsyncQuintet(self.url, dev_login(self.url, user_id))


@pytest.fixture
def service() -> Iterator[Service]:
    if BINARY is None:
        if os.environ.get("CI"):
            pytest.fail("CLIENTS_TEST_BINARY is not set")
        pytest.skip("CLIENTS_TEST_BINARY is not set")
    with tempfile.TemporaryDirectory(prefix="quintet-python-") as folder:
        running = Service(Path(folder))
        try:
            yield running
        finally:
            running.stop(kill=True)
