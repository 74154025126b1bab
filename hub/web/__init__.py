"""Flask routes and Socket.IO handlers: thin; they read snapshots of the hub and hold no state."""
