"""Planning: from scores and a goal to the set of structures to remove. Nothing is changed by planning."""
