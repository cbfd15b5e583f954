"""Work that cannot be interrupted runs in a killable process of its own; the process behind it."""
