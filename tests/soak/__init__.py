"""The long runs: what only time shows. ``make soak`` plays them and writes docs/soak.md."""
