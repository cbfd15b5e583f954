"""The window's own part of a session on disk: marks, locks, goal and undo history, from step to step, and back."""
