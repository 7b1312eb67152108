"""Our own intake: events that are sent to us, and the store that keeps them."""
