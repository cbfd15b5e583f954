"""The History panel: the tree of states."""
