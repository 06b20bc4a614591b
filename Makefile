# What a developer runs before a commit; continuous integration runs the same.
.PHONY: check lint test format config pins unlock

check: lint test

lint:
	uv run ruff check
	uv run ruff format --check
	uv run snakefmt --check .
	uv run pyright
	uv run python -m retcap.config.files --check
	uv run snakemake --lint

test:
	uv run pytest

format:
	uv run ruff check --fix
	uv run ruff format
	uv run snakefmt .

config:  # regenerate config/config.yaml, config/schema.json and the table of keys
	uv run python -m retcap.config.files

pins:  # write the versions of uv.lock into pyproject.toml and envs/
	uv run python envs/pin.py

unlock:  # after a killed run
	uv run snakemake --unlock
