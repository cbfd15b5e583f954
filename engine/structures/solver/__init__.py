"""The labels of indices, and the solver that turns them into coupled sets."""
