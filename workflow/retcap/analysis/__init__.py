"""Statistics of all studies: bootstrap, paired tests, corrections."""
