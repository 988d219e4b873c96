"""What a client may cost: bytes of a body, bytes of all bodies together, and time to send them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.exceptions import HTTPException

TOO_SLOW, TOO_LARGE, BUSY = 408, 413, 503
_CLOSE = {"Connection": "close"}
# A refused body is read on for so long, since a client that is still sending does not see the
# answer on a connection that is closed.
_DRAIN_SECONDS = 2.0


class LimitedBody:
    """Middleware that counts what arrives.

    A body that says it is too large is refused before it is read, one that is too large after that
    many bytes, one that is too slow after that time; and while the bodies of all requests together
    are too large, new ones are told to come back.

    Args:
        app: the application.
        max_bytes: of one body.
        max_bytes_together: of all bodies that are in memory.
        seconds: that a body may take to arrive.
    """

    def __init__(self, app: Any, *, max_bytes: int, max_bytes_together: int, seconds: float):
        self.app = app
        self.max_bytes, self.max_bytes_together = max_bytes, max_bytes_together
        self.seconds = seconds
        self._together = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"")
        clock = _Deadline(self.seconds)
        held = 0
        complete = False

        async def limited() -> Any:
            nonlocal held, complete
            if complete:
                return await receive()
            if said.isdigit() and int(said) > self.max_bytes:
                # Nothing was read: a client that asks before it sends (Expect: 100-continue) is
                # answered at once, others are heard out for a while.
                if b"expect" not in dict(scope["headers"]):
                    await _drain(receive)
                complete = True
                raise self._refusal(TOO_LARGE)
            try:
                message = await clock.wait(receive)
            except TimeoutError:
                complete = True
                raise self._refusal(TOO_SLOW) from None
            size = len(message.get("body", b""))
            held += size
            self._together += size
            complete = not message.get("more_body", False)
            if complete:
                clock.stop()
            for status, broken in (
                (TOO_LARGE, held > self.max_bytes),
                (BUSY, self._together > self.max_bytes_together),
            ):
                if broken:
                    if not complete:
                        await _drain(receive)
                    complete = True
                    raise self._refusal(status)
            return message

        try:
            await self.app(scope, limited, send)
        finally:
            clock.stop()
            self._together -= held

    def _refusal(self, status: int) -> HTTPException:
        words = {
            TOO_SLOW: f"the request did not arrive within {self.seconds:g} s",
            TOO_LARGE: f"the request is larger than {self.max_bytes / (1 << 20):g} MiB",
            BUSY: "too many large requests at once",
        }
        retry = {"Retry-After": "1"} if status == BUSY else {}
        return HTTPException(status, words[status], {**_CLOSE, **retry})


class _Deadline:
    """One timer for all parts of a body: `asyncio.timeout` around each costs more than they do."""

    def __init__(self, seconds: float):
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end)
        self._over = False
        self._waiting: asyncio.Task | None = None

    async def wait(self, receive: Any) -> Any:
        """The next part.

        Raises:
            TimeoutError: the time is over.
        """
        if self._over:
            raise TimeoutError
        self._waiting = asyncio.current_task()
        try:
            return await receive()
        except asyncio.CancelledError:
            # Somebody else's wish to end the task is left to them.
            if self._over and self._waiting is not None and self._waiting.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._waiting = None

    def stop(self) -> None:
        """There is nothing more to wait for."""
        self._timer.cancel()

    def _end(self) -> None:
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()


async def _drain(receive: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
