"""Verdicts on what the book holds: volume spikes, the hub's health."""
