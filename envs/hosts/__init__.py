"""Live hosts: everything they know and do goes through ``Transport.run(argv)``."""
