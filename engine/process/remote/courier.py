"""Messages that survive a broken connection: numbered, kept until the other end has them, each taken once.

Both ends are alike. Nobody waits here for a slow connection but the thread that sends.
"""

import threading
from collections import deque
from collections.abc import Callable

from msgspec import Raw, Struct

from ...errors import WireError
from ..plain_data import decode, encode, not_understood
from ..wire import Wire


class Frame(Struct, array_like=True, frozen=True):
    """A numbered message.

    Attributes:
        number: Its place in the order, from 1; 0 for none, which only says what was received.
        received: The last number that the sender has received.
        body: The message.
    """

    number: int
    received: int
    body: Raw


NOTHING = Raw(encode(None))


class Courier:
    """One end; connections come and go.

    Attributes:
        received: Number of the last message that was taken.
    """

    def __init__(self, take: Callable[[Raw], None]) -> None:
        """Take each message once, in order, in the thread that listens; whatever `take` raises ends as `WireError`."""
        self.received = 0
        self._take = take
        self._kept: deque[tuple[int, bytes]] = deque()
        self._posted = 0
        self._weight = 0
        self._connection = 0
        self._news = threading.Condition()
        self._taking = threading.Lock()

    @property
    def waiting(self) -> int:
        """Messages that the other end has not confirmed."""
        return len(self._kept)

    @property
    def weight(self) -> int:
        """Bytes of messages that the other end has not confirmed."""
        return self._weight

    def post(self, body: bytes) -> None:
        """Have a message delivered, now or over a later connection."""
        with self._news:
            self._posted += 1
            self._weight += len(body)
            self._kept.append((self._posted, body))
            self._news.notify_all()

    def serve(self, wire: Wire, received: int) -> None:
        """Work over a connection until it ends; one that is served already is given up.

        Args:
            wire: The connection.
            received: What the other end has of ours, as it says.

        Raises:
            WireError: What came does not fit.
        """
        with self._news:
            self._confirmed(received)
            if received + len(self._kept) != self._posted:
                raise not_understood("messages of an earlier connection are missing")
            self._connection += 1
            mine = self._connection
            self._news.notify_all()
        sender = threading.Thread(target=self._send, args=(wire, mine, received), name="courier", daemon=True)
        sender.start()
        try:
            self._listen(wire, mine)
        except (EOFError, OSError, ValueError):
            return
        finally:
            with self._news:
                self._connection += self._connection == mine
                self._news.notify_all()

    def hang_up(self) -> None:
        """Give up the connection that is served."""
        with self._news:
            self._connection += 1
            self._news.notify_all()

    def _send(self, wire: Wire, mine: int, sent: int) -> None:
        told = -1
        while True:
            with self._news:
                self._news.wait_for(
                    lambda: self._connection != mine or self._posted > sent or self.received != told  # noqa: B023
                )
                if self._connection != mine:
                    return
                told = self.received
                first = self._posted - len(self._kept)
                due = [self._kept[n] for n in range(max(sent - first, 0), len(self._kept))]
            try:
                for number, body in due:
                    wire.send(encode(Frame(number, told, Raw(body))))
                    sent = number
                if not due:
                    wire.send(encode(Frame(0, told, NOTHING)))
            except (OSError, ValueError):  # Gone: who listens finds out.
                return

    def _listen(self, wire: Wire, mine: int) -> None:
        while True:
            frame: Frame = decode(wire.receive(), Frame)
            with self._taking:
                with self._news:
                    if self._connection != mine:
                        return
                    self._confirmed(frame.received)
                if frame.number and frame.number > self.received:
                    if frame.number != self.received + 1:
                        raise not_understood("a message is missing")
                    # Take a message; an error of that is none of the line's: the message would only come again.
                    try:
                        self._take(frame.body)
                    except WireError:
                        raise
                    except Exception as error:
                        raise not_understood(f"{type(error).__name__}: {error}") from error
                    with self._news:
                        self.received = frame.number
                        self._news.notify_all()

    def _confirmed(self, received: int) -> None:
        if received > self._posted:
            raise not_understood("more was received than was sent")
        while self._kept and self._kept[0][0] <= received:
            self._weight -= len(self._kept.popleft()[1])
