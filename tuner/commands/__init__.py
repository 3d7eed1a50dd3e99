"""The verbs of the command line, one module each with its click command as ``command``."""
