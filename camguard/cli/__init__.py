"""The command line: one verb is one function from arguments to an exit code."""
