"""Runs the server until it is asked to stop, and lets it finish what it has begun."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from alexnet_common.errors import UserError
from alexnet_tf.serving.http.app import Server

# Seconds that requests may take to end after SIGTERM.
STOP_SECONDS = 30
# Seconds that the head of a request may take.
HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 16 << 10
MAX_CONNECTIONS = 512


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        UserError: the place is taken, not this machine's, or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"port {port} of {host} cannot be listened on: {reason}; choose others with --host "
            "and --port"
        ) from error
    return listener


def run(server: Server, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then answers what has begun; a second signal ends at once.

    Args:
        server: what answers.
        listener: from `listen`.
        started: called when connections are taken.
    """
    config = uvicorn.Config(
        server.app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    _Running(config, server, started).run(sockets=[listener])


class _Running(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, server: Server, started: Callable[[], None]):
        super().__init__(config)
        self._server, self._on_start = server, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._server.ready = False
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class _Protocol(H11Protocol):
    """HTTP/1.1 that closes connections whose next request does not come to its end of head."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._heard = self.cycle
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        waits = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        if waits and self._heard is self.cycle:
            self.transport.close()
            return
        self._heard = self.cycle
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)
