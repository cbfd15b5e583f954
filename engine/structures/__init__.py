"""What can be removed: coupled sets of structures, fixed axes with reasons, exact costs (numpy only)."""
