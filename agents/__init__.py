"""Everything that chooses settings: learned policies, the papers' heuristics, search."""
