"""The engine process beside the window: client, worker, and the wire between them."""
