"""Which sessions have joined a namespace, and the answer to those that ask for one that there is not."""

from __future__ import annotations

from typing import Any

import socketio

CONNECT, DISCONNECT = "0", "1"


def watch(server: socketio.Server) -> None:
    """Have the engine of a Socket.IO server know which sessions have joined; one that is refused at once may go."""
    engine = server.eio
    handle = engine.handlers["message"]

    def take(sid: str, data: Any) -> None:
        kind = data[:1] if isinstance(data, str) else ""
        if kind == CONNECT and (name := _unknown_namespace(server, data)) is not None:
            server._send_packet(sid, server.packet_class(
                socketio.packet.CONNECT_ERROR, data={"message": "Invalid namespace"}, namespace=name
            ))  # fmt: skip
        else:
            handle(sid, data)
        if kind not in (CONNECT, DISCONNECT) or (client := engine.sockets.get(sid)) is None:
            return
        manager = server.manager
        if any(manager.sid_from_eio_sid(sid, name) is not None for name in manager.get_namespaces()):
            client.join()
        elif kind == CONNECT:
            client.refuse()
        elif client.has_joined:
            client.left()

    engine.on("message", take)


def _unknown_namespace(server: socketio.Server, data: str) -> str | None:
    name = server.packet_class(encoded_packet=data).namespace or "/"
    return None if name in server.handlers or name in server.namespace_handlers else name
