"""One connection slot: a thread that keeps one WebSocket to the exchange open, subscribed and read, for ever.

Rules of the state machine:
- ``disconnected`` until started and after ``stop``; ``connecting`` on the first attempt.
- ``connected`` once the handshake is done and the wanted products are asked for.
- ``reconnecting`` from any loss until connected again; ``failed`` instead after ``FAILED_AFTER`` losses in a row, which
  only 30 s of data end. It goes on trying in both.
- A slot may be held by one connection after the other: a successor, of the same id, takes over while both are open (see
  ``handover``) and goes on with the counts.
- Each attempt has a *generation*. Whoever ends it (the watchdog, a stop) raises the number, and what the old socket
  still holds is read by nobody.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from hub.feed import policy, watchdog
from hub.feed.arrival import STALL_SECONDS
from hub.feed.backoff import Backoff
from hub.feed.dial import TransportError
from hub.feed.dialects import Dialect
from hub.feed.handover import Handover
from hub.feed.intake import Callbacks, Intake
from hub.feed.subscriber import SetAside, Subscriber
from hub.feed.tally import Totals
from hub.feed.transport import Transport
from hub.logs import Cooldown
from hub.model import (
    ConnectionSnapshot,
    ConnectionStatus,
    Event,
    ExchangeError,
    Heartbeat,
    Ignored,
    Subscriptions,
    Ticker,
)

FAILED_AFTER = 5
SLOW_CONSUMER = "slow_consumer"  # the cause of a loss that the exchange put down to our slow reading
YIELD_FRAMES = 100  # a reader whose socket always has data would starve every other green thread
YIELD_SECONDS = 0.005
SUBSCRIBE_CHECK_SECONDS = 1.0

log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Connection:
    """One slot of the pool, or a successor to one. ``run`` is its thread's body; all else any thread may call."""

    def __init__(
        self, connection_id: str, url: str, dialect: Dialect, limits: watchdog.Limits, backoff: Backoff,
        callbacks: Callbacks, permission: Callable[[threading.Event], bool], tls: ssl.SSLContext | None,
        ticks: dict[str, int] | None = None, may_send: Callable[[threading.Event], bool] = lambda _: True,
    ) -> None:  # fmt: skip
        """``ticks``: where the tickers of each product are counted; ``may_send`` is waited for before each message."""
        self.id = connection_id
        self._url = url
        self._dialect = dialect
        self._limits = limits
        self._backoff = backoff
        self._callbacks = callbacks
        self._permission = permission
        self._tls = tls
        self._may_send = may_send
        self._stop = threading.Event()
        self._hurry = threading.Event()  # ends the wait for the next attempt
        self._thread: threading.Thread | None = None
        self._wanted: tuple[str, ...] = ()
        self._subscriber = Subscriber(dialect.product_channels)
        self._commands: deque[Callable[[], None]] = deque(maxlen=1_000)  # for the thread, by others
        self._subscribe_at = 0.0  # when to look for the next request
        self._acknowledged = False  # whether all of this socket's last request was acknowledged
        self._transport: Transport | None = None
        self._generation = 0
        self._status = ConnectionStatus.DISCONNECTED
        self._attempt_at: float | None = None
        self._opened_at: float | None = None
        self._turn_at = 0.0  # when the last message might leave; infinite while one waits for that, and nobody reads
        self._next_attempt_at: float | None = None
        self._not_before = 0.0  # what the exchange asked for, or a cause that does not mend itself
        self._interrupted: str | None = None
        self._parting: str | None = None  # why the exchange will close this socket, in its own words
        self._intake = intake = Intake(
            self, connection_id, dialect, callbacks, self._take_control, {} if ticks is None else ticks
        )
        self.tally, self.recent = intake.tally, intake.recent

    # -- for other threads -------------------------------------------------------------------------

    def want(self, product_ids: Sequence[str]) -> None:
        """Set the products that this slot must deliver; an open socket follows at its next frame."""
        self._wanted = wanted = tuple(product_ids)
        self._intake.gone = self._intake.gone.difference(wanted)
        self.recent.keep(wanted)
        self._command(lambda: self._subscriber.want(wanted))

    def let_go(self, product_ids: Iterable[str]) -> None:
        """Give up products that another connection delivers: what still comes of them is passed over."""
        gone = frozenset(product_ids)
        self.want([item for item in self._wanted if item not in gone])
        self._intake.gone |= gone

    def attach(self, handover: Handover | None) -> None:
        """Take part in a handover from now on; None: no more."""
        self._intake.handover = handover

    def deliver(self, event: Ticker | Heartbeat, wall: float, arrived: float, now: float) -> None:
        """Pass an event on, as this connection's."""
        self._intake.deliver(event, wall, arrived, now)

    def tell_delivering(self) -> None:
        """Tell with the next event that is passed on that this slot delivers."""
        self._intake.heard = False

    def succeed(self, other: Connection) -> None:
        """Be another connection's successor, before the start: want what it wants, know what it was refused."""
        self._subscriber.take_after(other._subscriber)
        self.want(other.products)

    def take_the_place(self, other: Connection) -> None:
        """Go on counting where the slot's connection before this one ends."""
        self.tally.go_on_from(other.tally, other._generation + 1)

    def refresh(self, product_id: str) -> None:
        """Subscribe anew to a product that is silent."""
        self._command(lambda: self._subscriber.refresh(product_id))

    def set_aside(self) -> dict[str, SetAside]:
        """Return the products that the exchange did not give, and why."""
        return dict(self._subscriber.aside)

    @property
    def given(self) -> frozenset[str]:
        """The products that this socket's last acknowledgement lists."""
        return self._subscriber.given

    @property
    def is_open(self) -> bool:
        """Whether there is a socket that is through its handshake."""
        return self._opened_at is not None

    def age_seconds(self, now: float) -> float:
        """Return for how long the socket has been open; 0 for none."""
        return 0.0 if (opened_at := self._opened_at) is None else now - opened_at

    def attempt_in_seconds(self, now: float) -> float:
        """Return when the next attempt to connect is due; 0 if one is under way."""
        return 0.0 if (at := self._next_attempt_at) is None else max(0.0, at - now)

    def hurry(self, now: float) -> None:
        """Have the next attempt now rather than when the backoff says, if nothing forbids it."""
        if self._next_attempt_at is not None and now >= self._not_before:
            self._hurry.set()

    def without_heartbeats_since(self) -> float | None:
        """Return the monotonic second of the last heartbeat (or of the opening) of an open socket, None if closed."""
        opened_at = self._opened_at
        return None if opened_at is None else max(opened_at, self._intake.heartbeat_at or 0.0)

    def silent_seconds(self, now: float) -> float:
        """Return for how long an open socket has brought nothing; 0 for one that is not open."""
        return 0.0 if self._opened_at is None else now - max(self._opened_at, self._intake.last_frame_at or 0.0)

    def catching_up(self, now: float) -> bool:
        """Tell whether an open socket may hold frames that came while the hub stood still."""
        return self.silent_seconds(now) > STALL_SECONDS or (self._opened_at is not None and self._intake.catching_up)

    def _command(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._subscribe_at = 0.0

    @property
    def products(self) -> tuple[str, ...]:
        """The products that this slot must deliver."""
        return self._wanted

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread = threading.Thread(target=self._run, name=self.id, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; ``join`` waits for it. Idempotent."""
        self._stop.set()
        self._hurry.set()
        self.interrupt(self._generation, "stopped")

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end; return whether it did end."""
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def replace(self, cause: str) -> None:
        """End the socket, whichever it is; the next follows."""
        self.interrupt(self._generation, cause)

    def interrupt(self, generation: int, cause: str) -> None:
        """End that generation's socket; frames of it that are still unread change nothing."""
        if generation != self._generation:
            return
        self._generation += 1
        self._interrupted = cause
        if self._transport is not None:
            self._transport.shut()

    def watch(self, now: float, resumed_at: float, may_be_silent: bool = False) -> None:
        """Let the watchdog judge this connection, and note its rate.

        ``resumed_at`` is when the hub last came back from a pause of its own.
        """
        generation, opened_at = self._generation, self._opened_at
        cause = watchdog.verdict(
            now, self._limits, attempt_at=self._attempt_at,
            opened_at=None if opened_at is None else max(opened_at, self._turn_at),
            last_frame_at=self._intake.last_frame_at, resumed_at=resumed_at, may_be_silent=may_be_silent,
        )  # fmt: skip
        if cause is not None:
            self.interrupt(generation, cause)
        elif may_be_silent and self._opened_at is not None and self._acknowledged:
            self._intake.delivers()  # all that it owes
        self.tally.measure(now)

    def snapshot(self) -> ConnectionSnapshot:
        """Return this slot at this moment."""
        opened_at, totals = self._opened_at, self.totals()
        return ConnectionSnapshot(
            connection_id=self.id,
            status=self._status,
            product_ids=self._wanted,
            generation=totals.sockets,
            total_messages=totals.messages,
            messages_per_second=self.tally.per_second,
            error_count=totals.errors,
            reconnects=totals.reconnects,
            uptime_seconds=time.monotonic() - opened_at if opened_at is not None else 0.0,
            last_heartbeat=self._intake.last_heartbeat,
            last_message=self._intake.last_message,
            last_cause=self.tally.last_cause,
        )

    def totals(self) -> Totals:
        """Return the slot's counts."""
        return self.tally.totals(self._generation)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        self._status = ConnectionStatus.CONNECTING
        try:
            while not self._stop.is_set():
                delay = self.step()
                self._hurry.clear()
                self._next_attempt_at = time.monotonic() + delay
                if not self._stop.is_set():
                    self._hurry.wait(delay)
                self._next_attempt_at = None
        finally:
            self._status = ConnectionStatus.DISCONNECTED

    def step(self) -> float:
        """Hold one socket from connect to loss; return the seconds to wait before the next."""
        self._interrupted = None
        generation = self._generation
        cause, retry_after = "bug", 0.0
        try:
            self._hold_socket(generation)
            cause = self._interrupted or "stopped"
        except TransportError as error:
            cause, retry_after = self._interrupted or self._parting or error.cause, error.retry_after_seconds
            if cause != "stopped":
                _warn.warning(cause, "lost connection=%s cause=%s detail=%s", self.id, cause, error)
        except Exception:  # noqa: BLE001 - it is logged
            _warn.exception("bug", "bug connection=%s", self.id)
        finally:
            data_seconds = (self._intake.last_frame_at or 0.0) - (self._opened_at or 0.0)
            if self._transport is not None:
                self._transport.close()
            was_open = self._opened_at is not None
            self._transport = self._attempt_at = self._opened_at = None
            self._turn_at = 0.0
            if generation == self._generation:
                self._generation += 1
        if self._stop.is_set():
            return 0.0
        tally = self.tally
        how = policy.after(cause)
        tally.errors += how.failure
        tally.causes[cause] += 1
        tally.last_cause = cause
        if how.smaller_requests:
            self._subscriber.request_size = max(1, min(self._subscriber.request_size, len(self._wanted)) // 2)
        if was_open:
            self._tell_lost(cause)
        least = max(retry_after, how.min_delay_seconds)
        self._not_before = time.monotonic() + least
        delay = max(self._backoff.failed(data_seconds) if how.failure else 0.0, least)
        failing = self._backoff.failures >= FAILED_AFTER
        self._status = ConnectionStatus.FAILED if failing else ConnectionStatus.RECONNECTING
        return delay

    def _tell_lost(self, cause: str) -> None:
        handover = self._intake.handover
        lost = handover.lost(self) if handover is not None else self._wanted
        if lost is None:
            return
        try:
            self._callbacks.lost(self.id, lost, cause)
        except Exception:  # noqa: BLE001 - it is logged
            _warn.exception("loss", "bug in what a loss set off, connection=%s", self.id)

    def _hold_socket(self, generation: int) -> None:
        transport, intake = Transport(), self._intake
        self._transport, intake.last_frame_at = transport, None
        opened = transport.open(
            self._url, self._dialect.max_frame_bytes, self._limits.connect_seconds, self._tls, self._may_connect
        )
        if not opened or generation != self._generation:
            return
        self._opened_at = time.monotonic()
        self._acknowledged = False
        intake.opened()
        self._parting = None
        self._subscriber.opened()
        self._subscribe(transport, self._opened_at)
        self._status = ConnectionStatus.CONNECTED
        log.info("connected connection=%s products=%d", self.id, len(self._wanted))
        frames, busy_since = 0, time.monotonic()
        while True:
            frame = transport.receive()
            if generation != self._generation:
                return
            now = time.monotonic()
            waited_until = intake.waited_until = transport.waited_until
            intake.take(frame, now)
            if now >= self._subscribe_at:
                self._subscribe(transport, now)
            frames += 1
            if waited_until > busy_since:
                frames, busy_since = 0, waited_until
            if frames >= YIELD_FRAMES or now - busy_since > YIELD_SECONDS:
                time.sleep(0)
                frames, busy_since = 0, time.monotonic()

    def _may_connect(self) -> bool:
        allowed = self._permission(self._stop)
        self._attempt_at = time.monotonic()
        return allowed

    def _subscribe(self, transport: Transport, now: float) -> None:
        """Send what brings the exchange's set nearer to the wanted one."""
        self._subscribe_at = now + SUBSCRIBE_CHECK_SECONDS
        while self._commands:
            self._commands.popleft()()
        request = self._subscriber.next_request(now)
        if request is not None:
            dialect = self._dialect
            frames = (dialect.subscribe if request.subscribe else dialect.unsubscribe)(request.product_ids)
            for frame in frames:
                self._turn_at = float("inf")
                allowed = self._may_send(self._stop)
                self._turn_at = time.monotonic()
                if allowed:
                    transport.send(frame)
            self._subscriber.sent(len(frames), max(now, self._turn_at))

    def _take_control(self, event: Event, now: float) -> None:
        """Take what the exchange says of the connection itself."""
        if isinstance(event, ExchangeError):
            if event.message == self._dialect.subscribe_error:
                self._subscriber.refused(event.reason, now)
                self._subscribe_at = 0.0
            elif self._dialect.slow_consumer_error in f"{event.message} {event.reason}":
                self._parting = SLOW_CONSUMER
            self._intake.count("exchange_error", f"{event.message}: {event.reason}")
        elif isinstance(event, Subscriptions):
            self._intake.last_frame_at = now
            self._subscribe_at = 0.0
            left_out = self._subscriber.acknowledged(event, now)
            self._acknowledged = not left_out
            if (handover := self._intake.handover) is not None:
                handover.acknowledged(self)
            if left_out:
                _warn.warning("left_out", "left out connection=%s products=%s", self.id, ",".join(left_out))
                self._callbacks.left_out(left_out)
        elif isinstance(event, Ignored):
            self.tally.refused[f"ignored_{event.label}"] += 1
