"""From a changed ticker to a client's socket.

The seam is ``Fanout.publish(event, payload)``: callers hand over finished JSON, and everything behind it (framing,
gathering, queues, transports) may be replaced without their notice. One writer owns each client's socket.
"""
