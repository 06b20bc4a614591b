"""Training, validation and test: hold-outs, leaks between them, missing pictures."""
