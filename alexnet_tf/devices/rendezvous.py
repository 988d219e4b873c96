"""Waiting for the other workers, before TensorFlow connects them.

TensorFlow's own waiting keeps the interpreter's lock and takes SIGTERM for itself, so that neither
signals nor words get through. Here the workers meet in Python first: the chief listens at its
address of the cluster, the others come to it, and when all are there it lets them go on. Then
TensorFlow's server takes the same port.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import socket
import time

from alexnet_common.errors import UserError
from alexnet_common.messages import duration, log
from alexnet_tf.devices.cluster import Cluster

_RETRY_SECONDS = 0.3
_CONNECT_SECONDS = 10.0
# A list of who is missing, for those who look at the log meanwhile.
_REMIND_SECONDS = 60.0
_LAST_WORDS_SECONDS = 1.0
_GO = b"alexnet-tf: all are here\n"
_OTHER_COUNT = b"alexnet-tf: another number of workers\n"
_GREETING = re.compile(rb"alexnet-tf: worker (\d+) of (\d+)\n")
_LONGEST = 64


def meet(place: Cluster, seconds: float) -> None:
    """Returns when all workers of the cluster have called it.

    Args:
        place: this worker's.
        seconds: how long to wait.

    Raises:
        UserError: they did not come in time, or do not agree on how many they are.
    """
    if len(place.workers) < 2:
        return
    deadline = time.monotonic() + seconds
    if place.is_chief:
        _gather(place, deadline, seconds)
    else:
        _come(place, deadline, seconds)


def _gather(place: Cluster, deadline: float, seconds: float) -> None:
    """The chief's part: waits for all others and lets them go on."""
    others = range(1, len(place.workers))
    present: dict[int, socket.socket] = {}
    remind_at = time.monotonic() + _REMIND_SECONDS

    def missing() -> str:
        absent = [index for index in others if index not in present]
        return ", ".join(f"{index} ({place.workers[index]})" for index in absent)

    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
        listener = opened.enter_context(_listener(place, deadline))
        selector.register(listener, selectors.EVENT_READ)
        while len(present) < len(others):
            now = time.monotonic()
            if now > deadline:
                raise _late(
                    place,
                    seconds,
                    f"missing: {missing()}",
                    "do they run, and can they reach this one?",
                )
            if now > remind_at:
                log(f"worker 0: still waits for {missing()}")
                remind_at = now + _REMIND_SECONDS
            for key, _ in selector.select(min(deadline, remind_at) - now):
                if key.fileobj is listener:
                    connection = listener.accept()[0]
                    opened.callback(connection.close)
                    connection.setblocking(False)
                    _keep_alive(connection)
                    selector.register(connection, selectors.EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                connection = key.fileobj
                index = _greeted(connection, place)
                left = [number for number, other in present.items() if other is connection]
                for number in left:
                    del present[number]
                if index is None or left:
                    selector.unregister(connection)
                    connection.close()
                else:
                    # One that was started again takes its own place.
                    present[index] = connection
        for connection in present.values():
            _let_go(connection)


def _listener(place: Cluster, deadline: float) -> socket.socket:
    """Listens where TensorFlow's server will: at the port, on all interfaces."""
    address = ("", int(place.workers[0].rpartition(":")[2]))
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    while True:
        try:
            return socket.create_server(
                address, family=family, dualstack_ipv6=both, backlog=len(place.workers)
            )
        except OSError as error:
            # Workers of a run that ended a moment ago may still have it.
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise UserError(
                    f"worker 0: cannot listen at port {address[1]}: {os.strerror(error.errno or 0)}"
                ) from error
            time.sleep(_RETRY_SECONDS)


def _greeted(connection: socket.socket, place: Cluster) -> int | None:
    """Which worker says that it is there; None: nobody of this cluster, or it is gone."""
    count = len(place.workers)
    with contextlib.suppress(OSError):
        match = _GREETING.fullmatch(connection.recv(_LONGEST))
        if match is None:
            return None
        if int(match[2]) == count and 0 < int(match[1]) < count:
            return int(match[1])
        connection.send(_OTHER_COUNT)
    return None


def _let_go(connection: socket.socket) -> None:
    """Tells one worker that all are there."""
    with contextlib.suppress(OSError):  # It has just died, which TensorFlow will notice.
        connection.settimeout(_LAST_WORDS_SECONDS)
        connection.sendall(_GO)
        # Whoever closes first keeps the port busy for a while, which shall not be this side.
        connection.recv(1)


def _come(place: Cluster, deadline: float, seconds: float) -> None:
    """The part of all others: comes to the chief until it lets this worker go on."""
    chief = place.workers[0]
    host, _, port = chief.rpartition(":")
    greeting = f"alexnet-tf: worker {place.index} of {len(place.workers)}\n".encode()
    reached = False
    while (left := deadline - time.monotonic()) > 0:
        answer = b""
        with contextlib.suppress(OSError):  # Nobody there yet, or not under this name.
            address = (host.strip("[]"), int(port))
            with socket.create_connection(address, min(left, _CONNECT_SECONDS)) as connection:
                _keep_alive(connection)
                connection.sendall(greeting)
                reached = True
                connection.settimeout(left)
                answer = connection.recv(_LONGEST)
        if answer == _GO:
            return
        if answer == _OTHER_COUNT:
            raise UserError(
                f"worker {place.index}: {place.source} names {len(place.workers)} workers, that of "
                f"worker 0 ({chief}) another number"
            )
        # The server of a run that is ending answers something else.
        time.sleep(min(_RETRY_SECONDS, max(left, 0)))
    if reached:
        raise _late(place, seconds, "worker 0 is here", "its log names those who are missing")
    raise _late(
        place,
        seconds,
        f"worker 0 ({chief}) does not answer",
        "does it run, and can this one reach it?",
    )


def _late(place: Cluster, seconds: float, what: str, then: str) -> UserError:
    return UserError(
        f"worker {place.index}: not all {len(place.workers)} workers came within "
        f"{duration(seconds)}; {what}; {then}"
    )


def _keep_alive(connection: socket.socket) -> None:
    """Lets a connection to a machine that was switched off end within half a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # Not on every system.
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
