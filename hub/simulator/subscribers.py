"""Who subscribed to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.simulator.session import Session


class Subscribers:
    """The connections of each product in the channels that are fed, and the channels of each connection."""

    def __init__(self, channels: Iterable[str]) -> None:
        self._listeners: dict[str, dict[str, list[Session]]] = {channel: {} for channel in channels}

    def of(self, channel: str, product_id: str) -> Sequence[Session]:
        """Return who listens to a product."""
        return self._listeners[channel].get(product_id, ())

    def products(self, channel: str) -> list[str]:
        """Return the products that someone listens to."""
        return list(self._listeners[channel])

    def covers(self, product_ids: Iterable[str]) -> bool:
        """Tell whether each product's tickers have a subscriber."""
        return all(product_id in self._listeners["ticker"] for product_id in product_ids)

    def link(self, session: Session, channel: str, product_ids: Iterable[str]) -> None:
        """Subscribe; again changes nothing."""
        held = session.channels.setdefault(channel, set())
        listeners = self._listeners.get(channel)
        for product_id in product_ids:
            if listeners is not None and product_id not in held:
                listeners.setdefault(product_id, []).append(session)
            held.add(product_id)

    def unlink(self, session: Session, channel: str, product_ids: Iterable[str]) -> None:
        """Unsubscribe; what was not subscribed is passed over."""
        held = session.channels.get(channel, set())
        gone = set(product_ids) & held
        listeners = self._listeners.get(channel)
        for product_id in gone:
            if listeners is not None:
                listeners[product_id].remove(session)
                if not listeners[product_id]:
                    del listeners[product_id]
        left = held - gone
        if left:
            session.channels[channel] = left
        else:
            session.channels.pop(channel, None)

    def remove(self, session: Session) -> None:
        """Unsubscribe a connection from everything."""
        for channel, product_ids in list(session.channels.items()):
            self.unlink(session, channel, product_ids)
