"""What a person runs: the command line, the control of live hosts, comparison, reports."""
