"""Our own intake: `web` takes events that are sent to us, `store` keeps them."""
