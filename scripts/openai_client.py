#!/usr/bin/env python3
"""Asks a Talkoot node with the official OpenAI client and checks what comes.

    pip install openai
    ./scripts/openai_client.py [--base-url http://127.0.0.1:7472/v1] [--model M] [PROMPT]

Prints the answer as it streams; exit 0 only if the stream was complete, its
usage adds up, and the same question without streaming gives the same text.
"""

import argparse
import sys

import openai


def stream(client, model, messages, max_tokens):
    """Streams one answer; returns (text, finish reason, usage)."""
    text, finish, usage, roles = "", None, None, []
    chunks = client.chat.completions.create(
        model=model,
        messages=messages,
        max_tokens=max_tokens,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in chunks:
        assert chunk.object == "chat.completion.chunk", chunk
        if chunk.usage:
            assert not chunk.choices, "the usage chunk has no choices"
            usage = chunk.usage
            continue
        (choice,) = chunk.choices
        assert finish is None, "nothing comes after the finish reason"
        if choice.delta.role:
            roles.append(choice.delta.role)
        if choice.delta.content:
            text += choice.delta.content
            print(choice.delta.content, end="", flush=True)
        finish = choice.finish_reason
        if finish:
            assert chunk.model_extra["talkoot"]["route"], "the last chunk names the route"
    print()
    assert roles == ["assistant"], roles
    return text, finish, usage


def check_errors(client, messages):
    """Errors arrive as the exceptions that the client documents."""
    try:
        client.chat.completions.create(model="no-such-model", messages=messages)
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
    else:
        raise AssertionError("an unknown model was accepted")
    try:
        client.chat.completions.create(model="", messages=messages, n=2)
    except openai.BadRequestError as error:
        assert error.param == "n", error
    else:
        raise AssertionError("n = 2 was accepted")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:7472/v1")
    parser.add_argument("--model", help="default: the first that is ready")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("prompt", nargs="?", default="Tell me a story about a fox who lost a drum.")
    args = parser.parse_args()

    client = openai.OpenAI(base_url=args.base_url, api_key="none", max_retries=0)
    models = list(client.models.list())
    ready = [model.id for model in models if model.model_extra["state"] == "ready"]
    model = args.model or (ready[0] if ready else sys.exit("no model has a full route"))
    assert client.models.retrieve(model).id == model

    messages = [{"role": "user", "content": args.prompt}]
    text, finish, usage = stream(client, model, messages, args.max_tokens)
    assert text.strip(), "the answer is empty"
    assert finish in ("stop", "length"), finish
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens <= args.max_tokens, usage

    whole = client.chat.completions.create(
        model=model, messages=messages, max_tokens=args.max_tokens, temperature=0,
        logprobs=True, top_logprobs=2,
    )
    (choice,) = whole.choices
    assert choice.message.content == text, "greedy answers are equal, streamed or not"
    assert choice.finish_reason == finish
    assert choice.logprobs.content and choice.logprobs.content[0].logprob <= 0
    assert len(choice.logprobs.content[0].top_logprobs) == 2

    check_errors(client, messages)
    credits = whole.usage.model_extra["credits"]
    print(f"ok: {usage.completion_tokens} tokens, {credits['spent']} {credits['unit']}", file=sys.stderr)


if __name__ == "__main__":
    main()
