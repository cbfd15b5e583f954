"""What a person did in a session (marks, locks, goal, undo history), on disk at once and read back after a crash."""
