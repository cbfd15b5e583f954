"""The engine process of a window: client, worker, and the wire between them."""
