"""What strings steps together over a session: prune, sweep, budget search, measure, baselines."""
