"""Drills: every fault is played to a real hub, and the hub is judged by the simulator's books."""
