"""Who is here: sessions by their ids, counted by address, and apart those that have joined no namespace yet."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.fanout.client import ClientSocket


class Sessions(dict[str, "ClientSocket"]):
    """A dictionary, as engineio expects one. ``newcomers`` have joined nothing; the first of them is the oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.of_address: Counter[str] = Counter()
        self.newcomers: OrderedDict[str, ClientSocket] = OrderedDict()

    @property
    def joined_count(self) -> int:
        """How many have joined a namespace."""
        return len(self) - len(self.newcomers)

    def __setitem__(self, sid: str, client: ClientSocket) -> None:
        super().__setitem__(sid, client)
        self.of_address[client.whose] += 1
        self.newcomers[sid] = client

    def __delitem__(self, sid: str) -> None:
        if self.pop(sid, None) is None:
            raise KeyError(sid)

    def pop(self, sid: str, *default: Any) -> Any:
        """Forget a session, as a dictionary does."""
        client = super().pop(sid, *default)
        self.newcomers.pop(sid, None)
        if client is not None:
            self.of_address[client.whose] -= 1
            if not self.of_address[client.whose]:
                del self.of_address[client.whose]
        return client

    def joined(self, sid: str) -> None:
        """Note that a session has joined a namespace."""
        self.newcomers.pop(sid, None)

    def left(self, sid: str) -> None:
        """Note that a session has left all that it had joined."""
        if sid in self:
            self.newcomers[sid] = self[sid]
