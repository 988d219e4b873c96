"""What a body may cost: asked of the middleware alone, with clients made by hand."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")

from starlette.exceptions import HTTPException

from alexnet_tf.serving.http.limits import LimitedBody


def part(data: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": data, "more_body": more}


async def read_all(scope, receive, send) -> int:
    """An application that reads the body and returns its size by `send`."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send(size)


def scope(*headers: tuple[bytes, bytes]) -> dict:
    return {"type": "http", "headers": list(headers)}


async def ask(middleware, parts, *headers) -> int:
    """The size that the application read; `parts` are messages, or None: nothing comes any more."""
    waiting = list(parts)
    sent = []

    async def receive():
        message = waiting.pop(0)
        if message is None:
            await asyncio.sleep(3600)
        return message

    async def send(value):
        sent.append(value)

    await middleware(scope(*headers), receive, send)
    return sent[0]


def limited(app=read_all, **options) -> LimitedBody:
    return LimitedBody(
        app, **{"max_bytes": 10, "max_bytes_together": 25, "seconds": 60.0, **options}
    )


def refused(coroutine) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        asyncio.run(coroutine)
    return caught.value.status_code, caught.value.detail


def test_a_body_of_the_largest_size_passes():
    assert asyncio.run(ask(limited(), [part(b"12345"), part(b"67890", False)])) == 10


def test_a_body_that_says_it_is_larger_is_not_kept():
    head = (b"content-length", b"11")
    status, words = refused(ask(limited(), [part(b"x" * 11, False)], head))
    assert status == 413 and "larger than" in words


def test_a_client_that_asks_first_is_answered_before_it_sends():
    head = [(b"content-length", b"11"), (b"expect", b"100-continue")]
    assert refused(ask(limited(), [], *head))[0] == 413


def test_a_body_that_is_larger_than_it_says():
    assert refused(ask(limited(), [part(b"x" * 6), part(b"x" * 6, False)]))[0] == 413


def test_a_body_that_does_not_come():
    status, words = refused(ask(limited(seconds=0.05), [part(b"x"), None]))
    assert status == 408 and "did not arrive within 0.05 s" in words


def test_time_stops_with_the_body():
    async def slow_answer(scope, receive, send):
        await read_all(scope, receive, send)
        await asyncio.sleep(0.1)

    assert asyncio.run(ask(limited(slow_answer, seconds=0.05), [part(b"x", False)])) == 1


def test_an_end_that_somebody_else_wants_is_theirs():
    async def main():
        task = asyncio.create_task(ask(limited(), [None]))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_all_bodies_together_have_a_limit_and_are_forgotten_after():
    go = None

    async def hold(scope, receive, send):
        await read_all(scope, receive, send)
        await go.wait()

    async def main():
        nonlocal go
        go = asyncio.Event()
        middleware = limited(hold)
        held = [asyncio.create_task(ask(middleware, [part(b"x" * 10, False)])) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(HTTPException) as caught:
            await ask(middleware, [part(b"x" * 10, False)])
        assert caught.value.status_code == 503
        assert caught.value.headers["Retry-After"] == "1"
        go.set()
        assert await asyncio.gather(*held) == [10, 10]
        return await ask(middleware, [part(b"x" * 10, False)])

    assert asyncio.run(main()) == 10
