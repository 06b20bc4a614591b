# What a developer runs before a commit; continuous integration runs the same.
.PHONY: check lint test format config pins unlock

check: lint test

lint:
	./uvw run ruff check
	./uvw run ruff format --check
	./uvw run snakefmt --check .
	./uvw run pyright
	./uvw run python -m retcap.config.files --check
	./uvw run snakemake --lint

test:
	./uvw run pytest

format:
	./uvw run ruff check --fix
	./uvw run ruff format
	./uvw run snakefmt .

config:  # regenerate config/config.yaml, config/schema.json and the table of keys
	./uvw run python -m retcap.config.files

pins:  # write the versions of uv.lock into pyproject.toml and envs/
	./uvw run python envs/pin.py

unlock:  # after a killed run
	./uvw run snakemake --unlock
