"""The machine that the engine runs on: devices, memory that runs out, processes, what is installed."""
