"""Before the first test: what tests start finds byte code, also where Python may not keep it beside the packages."""


def pytest_sessionstart() -> None:
    """Called before workers start; they and all processes of the tests inherit it."""
    from retcap.jobs import bytecode

    bytecode.keep_for_jobs()
