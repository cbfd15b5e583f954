"""The names of all commands: read at every start of the program, so that nothing else is loaded with them."""

COMMANDS = {
    "inspect": "inspect_model",
    "prune": "prune",
    "shear": "shear",
    "sensitivity": "sensitivity",
    "sweep": "sweep",
    "measure": "measure",
    "baselines": "baselines",
    "changes": "changes",
    "run": "run",
    "script": "script",
    "report": "write_report",
    "export": "export",
    "bundle": "bundle",
    "job": "job",
    "completion": "completion",
    "schema": "schema",
    "doctor": "doctor",
}
"""First words that mean the command line (everything else is for the window), and the file and function of each."""
