"""Planning: from scores and a goal to the set of structures that will go; nothing is destroyed by planning."""
