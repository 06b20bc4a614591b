"""retcap: a Snakemake experiment pipeline for vision-language research."""
