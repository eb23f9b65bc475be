"""The official Python client of OpenAI, against a node whose model four workers hold."""

import json
import math

import openai
import pydantic
from checks import MESSAGES, STORY, call, check, endless, main, stop_id, until


def client(base):
    return openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)


def stream_text(chunks):
    """The text of a stream of one choice, its finish reason and usage; checks the order."""
    text, finish, usage, roles = "", None, None, []
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
        text += choice.delta.content or ""
        finish = choice.finish_reason
        if finish:
            assert chunk.model_extra["talkoot"]["route"], "the last chunk names the route"
    assert roles == ["assistant"], roles
    return text, finish, usage


@check
def models(base):
    listed = list(client(base).models.list())
    assert listed and listed[0].model_extra["state"] == "ready"
    assert listed[0].created is not None and listed[0].owned_by
    assert client(base).models.retrieve(listed[0].id).id == listed[0].id


@check
def streamed_and_whole_answers_are_the_same(base):
    wish = {"model": "demo", "messages": MESSAGES, "temperature": 0, "max_tokens": 64}
    options = {"include_usage": True}
    text, finish, usage = stream_text(
        client(base).chat.completions.create(**wish, stream=True, stream_options=options)
    )
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.model_extra["credits"]["unit"] == "uGFT"
    whole = client(base).chat.completions.create(**wish)
    assert whole.choices[0].message.content == text and text
    assert whole.choices[0].finish_reason == finish == "length"
    assert whole.usage.completion_tokens == usage.completion_tokens == 64
    assert len(whole.model_extra["talkoot"]["route"]) == 4, "four workers answered"


@check
def no_usage_chunk_unless_asked_for(base):
    wish = {"model": "demo", "messages": MESSAGES, "max_tokens": 4, "stream": True}
    for options in ({}, {"include_usage": False}):
        chunks = list(client(base).chat.completions.create(**wish, stream_options=options))
        assert all(chunk.choices and not chunk.usage for chunk in chunks)
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(client(base).chat.completions.create(**wish, stream_options=options))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] == 4, counts


@check
def several_choices(base):
    wish = {"model": "demo", "messages": MESSAGES, "n": 2, "seed": 5, "max_tokens": 24}
    whole = client(base).chat.completions.create(**wish)
    assert [choice.index for choice in whole.choices] == [0, 1]
    texts = [choice.message.content for choice in whole.choices]
    assert texts[0] != texts[1], "two draws"
    parts, finished = ["", ""], set()
    for chunk in client(base).chat.completions.create(**wish, stream=True):
        for choice in chunk.choices:
            parts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finished.add(choice.index)
    assert parts == texts and finished == {0, 1}, "the same seed, the same texts"


@check
def stops_and_limits(base):
    whole = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, temperature=0, max_completion_tokens=200
    )
    text = whole.choices[0].message.content
    word = text.split()[5]
    cut = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, temperature=0, stop=[word], max_tokens=200
    )
    assert cut.choices[0].message.content == text[: text.index(word)]
    assert cut.choices[0].finish_reason == "stop"
    assert cut.usage.completion_tokens < whole.usage.completion_tokens


@check
def log_probabilities(base):
    whole = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, temperature=0, max_tokens=12, logprobs=True, top_logprobs=3
    )
    content = whole.choices[0].logprobs.content
    assert len(content) == 12
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob, "greedy takes the likeliest"
    joined = b"".join(bytes(token.bytes) for token in content).decode()
    assert joined.strip() == whole.choices[0].message.content.strip()
    alone = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, max_tokens=2, logprobs=True
    )
    assert len(alone.choices[0].logprobs.content) == 2


@check
def bias_bans_a_token(base):
    wish = {"model": "demo", "messages": MESSAGES, "temperature": 0, "max_tokens": 400}
    ended = client(base).chat.completions.create(**wish)
    assert ended.choices[0].finish_reason == "stop"
    wish["max_tokens"] = ended.usage.completion_tokens + 20
    bias = {str(stop_id(base)): -100}
    going_on = client(base).chat.completions.create(**wish, logit_bias=bias)
    assert going_on.choices[0].finish_reason == "length"


@check
def answers_that_follow_a_schema(base):
    class Animal(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=12)
        legs: int = pydantic.Field(ge=0, le=8)
        is_brave: bool

    parsed = client(base).chat.completions.parse(
        model="demo", messages=MESSAGES, response_format=Animal, max_tokens=120, seed=3
    )
    assert isinstance(parsed.choices[0].message.parsed, Animal)
    assert parsed.choices[0].finish_reason == "stop"
    started = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, response_format={"type": "json_object"}, max_tokens=20
    )
    assert started.choices[0].message.content.startswith("{")
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    refused(openai.BadRequestError, None, base, response_format=wrong)


def refused(kind, param, base, **extra):
    wish = {"model": "demo", "messages": MESSAGES, "max_tokens": 8} | extra
    try:
        client(base).chat.completions.create(**wish)
    except kind as error:
        assert param is None or error.param == param, error
        return error
    raise AssertionError(f"{extra} was accepted")


@check
def errors_are_those_that_the_client_documents(base):
    assert refused(openai.NotFoundError, "model", base, model="none").code == "model_not_found"
    refused(openai.BadRequestError, "n", base, n=1000)
    refused(openai.BadRequestError, "temperature", base, temperature=3)
    long = [{"role": "user", "content": "fox " * 5000}]
    error = refused(openai.BadRequestError, None, base, messages=long)
    assert error.code == "context_length_exceeded", error
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert "tool" in str(refused(openai.BadRequestError, None, base, tools=[tool]))
    try:
        client(base).embeddings.create(model="demo", input="fox")
    except openai.BadRequestError as error:
        assert error.code == "embeddings_unsupported", error
    else:
        raise AssertionError("embeddings were made")


@check
def plain_completions(base):
    made = client(base).completions.create(
        model="demo", prompt=["Once upon a time", "The owl"], temperature=0, max_tokens=8
    )
    assert [choice.index for choice in made.choices] == [0, 1]
    ids = call(base, "/tokenize", {"model": "demo", "prompt": "Once upon a time"})[2]["tokens"]
    by_ids = client(base).completions.create(model="demo", prompt=ids, temperature=0, max_tokens=8)
    assert by_ids.choices[0].text == made.choices[0].text
    text = call(base, "/detokenize", {"model": "demo", "tokens": ids})[2]["prompt"]
    assert text == "Once upon a time"
    streamed = client(base).completions.create(
        model="demo", prompt=ids, temperature=0, max_tokens=8, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed) == made.choices[0].text


@check
def echoed_prompts_with_scores(base):
    prompt = "Once upon a time there was a fox"
    made = client(base).completions.create(
        model="demo", prompt=prompt, echo=True, logprobs=2, max_tokens=3, temperature=0
    )
    (choice,) = made.choices
    assert choice.text.startswith(prompt)
    scores = choice.logprobs
    assert scores.token_logprobs[0] is None
    assert all(value <= 0 for value in scores.token_logprobs[1:])
    assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.text_offset)
    assert len(scores.tokens) == made.usage.prompt_tokens + 3
    for token, offset in zip(scores.tokens, scores.text_offset):
        assert choice.text[offset : offset + len(token)] == token
    assert not any(math.isnan(value) for value in scores.token_logprobs[1:])


@check
def responses_without_memory(base):
    made = client(base).responses.create(
        model="demo", input=STORY, max_output_tokens=24, temperature=0
    )
    assert made.status in ("completed", "incomplete") and made.output_text
    kinds, text = [], ""
    for event in client(base).responses.create(
        model="demo", input=STORY, max_output_tokens=24, temperature=0, stream=True
    ):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert kinds[0] == "response.created" and kinds[-1] in (
        "response.completed",
        "response.incomplete",
    ), kinds
    assert text == made.output_text
    try:
        client(base).responses.create(model="demo", input=STORY, previous_response_id="resp_1")
    except openai.BadRequestError as error:
        assert error.param == "previous_response_id", error
    else:
        raise AssertionError("a memory was promised")


@check
def who_goes_away_pays_for_what_was_acknowledged(base):
    raw = client(base).chat.completions.with_raw_response.create(
        model="demo", messages=MESSAGES, stream=True, extra_body=endless(base)
    )
    job = raw.headers["x-talkoot-job"]
    chunks = raw.parse()
    for _ in range(5):
        next(chunks)
    chunks.close()

    def settled():
        status, _, view = call(base, f"/api/v1/ledger/jobs/{job}")
        return view if status == 200 and view["held_ugft"] == 0 else None

    view = until("the job is settled", 30, settled)
    assert 0 < view["burned_ugft"] < view["cap_ugft"] * 3 // 4, json.dumps(view)[:500]
    assert view["burned_ugft"] == view["earned_ugft"] + view["commons_ugft"]


@check
def requests_keep_their_names(base):
    wish = {"model": "demo", "messages": MESSAGES, "max_tokens": 2}
    _, headers, _ = call(base, "/v1/chat/completions", wish, {"x-request-id": "my-request.1"})
    assert headers["x-request-id"] == "my-request.1"
    _, headers, _ = call(base, "/v1/chat/completions", wish)
    assert headers["x-request-id"] and headers["x-talkoot-job"]


def lost(base, ready):
    stream = client(base).chat.completions.create(
        model="demo", messages=MESSAGES, stream=True, extra_body=endless(base)
    )
    try:
        for index, _ in enumerate(stream):
            if index == 3:
                ready()
    except openai.APIError as error:
        return error
    return None


if __name__ == "__main__":
    main(lost)
