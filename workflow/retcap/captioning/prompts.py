"""The two prompt sets of the captioning study. Light on purpose: plugins import it while the Snakefile is read.

`bare` is the query cell alone, as the study this one follows sent it; `instruct` says what is wanted.

>>> request("people", "bare")
'people'
>>> request("people", "instruct")
'Describe the people in this 360-degree panorama.'
"""

PROMPT_SETS = {"bare": "{query}", "instruct": "Describe the {query} in this 360-degree panorama."}


def request(query: str, prompt_set: str) -> str:
    """What is asked of the model, before its own chat or question format is put around it."""
    if prompt_set not in PROMPT_SETS:
        raise ValueError(f"No prompt set is named {prompt_set!r}. Known: {', '.join(PROMPT_SETS)}.")
    return PROMPT_SETS[prompt_set].replace("{query}", query)


def rendered(captioner, processor, text: str) -> str:
    """The full prompt of one request: by the captioner plugin's own `render`, or else as a chat."""
    return getattr(captioner, "render", chat)(processor, text)


def chat(processor, text: str) -> str:
    """One user turn through the checkpoint's own chat template, the image before the text.

    The image comes first so that the queries about one panorama share their prefix.
    """
    content = [{"type": "image"}, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
