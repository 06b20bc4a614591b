"""The prompts of the captioning study. Light on purpose: plugins import it while the Snakefile is read.

`bare` is the query cell alone, as the study this one follows sent it; `instruct` says what is wanted; a text of one's
own has `{query}` where the query goes.

>>> request("people", "bare")
'people'
>>> request("people", "instruct")
'Describe the people in this 360-degree panorama.'
>>> request("people", "What of the {query} can be seen?")
'What of the people can be seen?'
"""

from retcap import spelling

SLOT = "{query}"
PROMPT_SETS = {"bare": "{query}", "instruct": "Describe the {query} in this 360-degree panorama."}


def request(query: str, prompt_set: str) -> str:
    """What is asked of the model, before its own chat or question format is put around it."""
    return template(prompt_set).replace(SLOT, query)


def template(prompt: str) -> str:
    """The text of a prompt set, or a text of one's own; ValueError for one that would ask the same of every query."""
    if prompt not in PROMPT_SETS and SLOT not in prompt:
        raise ValueError(
            f"must be one of {', '.join(PROMPT_SETS)}, or a text with `{SLOT}` where the query goes. Got {prompt!r} "
            f"instead.{spelling.did_you_mean(prompt, PROMPT_SETS)}"
        )
    return PROMPT_SETS.get(prompt, prompt)


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
