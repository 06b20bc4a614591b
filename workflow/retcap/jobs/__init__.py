"""What carries a job: log, staged outputs, scratch folders, devices, provenance, failures, the way to the hub."""
