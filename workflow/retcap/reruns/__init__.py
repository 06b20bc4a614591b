"""What makes a job run again, and why."""
