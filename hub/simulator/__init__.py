"""A fake Coinbase Exchange, a process of its own: the demo, the drills, the tests.

``python -m hub.simulator`` speaks the Exchange's WebSocket and REST protocols, marks everything it sends as simulated,
and breaks on command. One owner a piece of state: the market owns trades and prices, the exchange owns connections and
subscriptions, the faults own what is broken at the moment. One loop (``Exchange.step``) makes everything happen.
"""
