# The workflow stands where the workflow catalogue wants it; this file lets `snakemake` find it from here.
include: "workflow/Snakefile"


workflow.default_target = "all"  # Snakemake forgets that of an included file
