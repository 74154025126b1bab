"""From the exchange's socket to a Ticker: catalogue, shards, connections, watchdog, codecs."""
