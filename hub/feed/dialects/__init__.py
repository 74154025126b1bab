"""Pure codecs, one file an exchange protocol: frames in, events out.

A dialect reads no clock, opens no socket and logs nothing, so that every frame that was ever seen can be tried in a
test. ``Dialect`` is what the connection needs of one.
"""

from collections.abc import Sequence
from typing import Protocol

from hub.feed.dialects.aliases import AliasedDialect
from hub.feed.dialects.exchange import ExchangeDialect
from hub.model import Event

__all__ = ["AliasedDialect", "Dialect", "ExchangeDialect", "by_name"]


class Dialect(Protocol):
    """One exchange protocol, and its limits."""

    name: str
    max_frame_bytes: int
    product_channels: tuple[str, ...]  # a product is subscribed when an acknowledgement lists it in each of these
    products_per_socket: int | None  # None: nothing but the setting bounds it
    connects_per_second: int  # an IP address
    messages_per_second: int  # of the client, an IP address, over all its connections
    subscribe_error: str  # the message of the error that answers a refused subscription
    slow_consumer_error: str  # what the exchange says before it closes because we read too slowly

    def decode(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events of one frame; raises ``FrameRefused`` where the frame must not be believed."""

    def subscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return the frames that subscribe to everything the hub needs of these products.

        The exchange answers each of them with an acknowledgement of the connection's whole set by then.
        """

    def unsubscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return the frames that end these subscriptions; each is answered too."""


def by_name(name: str) -> Dialect:
    """Return the dialect of that name; raises ``KeyError`` for one that is not spoken."""
    spoken: dict[str, type[Dialect]] = {"exchange": ExchangeDialect, "advanced_trade": AliasedDialect}
    return spoken[name]()
