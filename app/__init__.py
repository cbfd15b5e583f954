"""The window on the engine: shows its steps and touches no tensor."""
