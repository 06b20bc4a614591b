"""What Snakemake says in every run and what nobody who waits has to read. The log has it."""

from snakemake_interface_logger_plugins.common import LogEvent

EVENTS = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.RUN_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.PROGRESS,
    LogEvent.SHELLCMD,
    LogEvent.RULEGRAPH,
}
BEGINNINGS = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Complete log(s)",
    "Conda environments: ignored",
    "Config file ",
    "Elapsed time",
    "Exiting because a job execution failed",
    "Select jobs to execute",
    "Singularity containers: ignored",
    "Trying to restart job",
    "Using shell",
)


SUBMITTED = "has been submitted with SLURM jobid"


def is_noise(event: LogEvent | None, text: str) -> bool:
    """Whether a record is left out of the terminal."""
    return event in EVENTS or text.startswith(BEGINNINGS) or SUBMITTED in text
