"""The programs that are measured: the hub's side, and its peers'."""
