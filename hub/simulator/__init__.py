"""A fake Coinbase Exchange, a process of its own: the demo, the drills, the tests.

``python -m hub.simulator`` speaks the Exchange's WebSocket and REST protocols, and on paths of their own Advanced
Trade's about the same market; it marks everything it sends as simulated, and breaks on command. One owner a piece of
state: the market owns trades and prices, each endpoint (``Exchange``, ``AdvancedTrade``) its connections and
subscriptions, its faults what is broken at the moment. One loop (``endpoint.run``) makes everything happen.
"""
