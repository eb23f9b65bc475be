"""LiteLLM, as a library, against a node whose model four workers hold."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from checks import MESSAGES, check, endless, main


def wish(base, **extra):
    return {
        "model": "openai/demo",
        "api_base": f"{base}/v1",
        "api_key": "none",
        "messages": MESSAGES,
        "max_tokens": 24,
        "temperature": 0,
        "num_retries": 0,
        "max_retries": 0,
    } | extra


@check
def streamed_and_whole_answers_are_the_same(base):
    whole = litellm.completion(**wish(base))
    chunks = litellm.completion(**wish(base, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == text and text
    assert whole.usage.completion_tokens == 24


@check
def several_choices_and_log_probabilities(base):
    made = litellm.completion(**wish(base, n=2, temperature=1, seed=4, logprobs=True, top_logprobs=2))
    assert len(made.choices) == 2
    assert len(made.choices[0].logprobs.content[0].top_logprobs) == 2


@check
def errors_have_their_kinds(base):
    try:
        litellm.completion(**wish(base, model="openai/none"))
    except litellm.NotFoundError:
        pass
    else:
        raise AssertionError("an unknown model was accepted")
    try:
        litellm.completion(**wish(base, messages=[{"role": "user", "content": "fox " * 5000}]))
    except litellm.ContextWindowExceededError:
        pass
    else:
        raise AssertionError("a prompt was cut")


def lost(base, ready):
    keys = endless(base)
    try:
        for index, _ in enumerate(litellm.completion(**wish(base, stream=True, **keys))):
            if index == 3:
                ready()
    except Exception as error:  # LiteLLM has several for it.
        return error
    return None


if __name__ == "__main__":
    main(lost)
