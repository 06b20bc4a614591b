"""Captions and their judging, whoever wrote them: CSV rows, cleaning, tokenising, metrics, baselines."""
