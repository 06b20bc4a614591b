"""The report of an experiment: one self-contained HTML page made from the result files."""
