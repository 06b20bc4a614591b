"""Whether an error says that memory ran out: torch has a class for it on GPUs only."""

TEXTS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or on_gpu(error):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in TEXTS)


def on_gpu(error: BaseException) -> bool:
    """Whether it was a GPU's memory, by the name of torch's class: nothing has to be imported for it."""
    return any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
