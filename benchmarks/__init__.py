"""Measurements, side by side with a peer in the same run; ``make bench`` runs them and writes docs/benchmarks.md."""
