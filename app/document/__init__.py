"""The document, the only state of the window: what is open, the plan, undo, messages, and what changed."""
