"""Calls of tools, with the official Python client, against a node whose model's template
knows tools. The demo model was never trained on any: what it calls is noise, but a
forced call is a call of an offered tool, with arguments of its schema."""

import json

import openai
from checks import check, main

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Oulu", "Turku"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": NOTHING}}
ASKED = [{"role": "user", "content": "What is the weather in Oulu?"}]


def client(base):
    return openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)


def ask(base, **extra):
    wish = {"model": "tools", "messages": ASKED, "tools": [WEATHER, CLOCK]}
    return client(base).chat.completions.create(**(wish | {"max_tokens": 120, "seed": 1} | extra))


def checked(call):
    arguments = json.loads(call.function.arguments)
    assert call.type == "function" and call.id
    if call.function.name == "clock":
        assert arguments == {}
    else:
        assert call.function.name == "weather"
        assert arguments["city"] in ("Oulu", "Turku") and 1 <= arguments["days"] <= 7
    return call


@check
def a_forced_call_is_a_call_of_an_offered_tool(base):
    for seed in range(4):
        (choice,) = ask(base, tool_choice="required", seed=seed).choices
        assert choice.finish_reason == "tool_calls", choice
        (call,) = choice.message.tool_calls
        checked(call)
    named = {"type": "function", "function": {"name": "weather"}}
    (call,) = ask(base, tool_choice=named).choices[0].message.tool_calls
    assert checked(call).function.name == "weather"


@check
def a_streamed_call_is_the_same(base):
    (call,) = ask(base, tool_choice="required").choices[0].message.tool_calls
    name, arguments, finish = "", "", None
    for chunk in ask(base, tool_choice="required", stream=True):
        (choice,) = chunk.choices
        for delta in choice.delta.tool_calls or []:
            name += delta.function.name or ""
            arguments += delta.function.arguments or ""
        finish = choice.finish_reason or finish
    assert (name, arguments, finish) == (call.function.name, call.function.arguments, "tool_calls")


@check
def an_answer_of_a_tool_goes_on(base):
    (choice,) = ask(base, tool_choice="required").choices
    (call,) = choice.message.tool_calls
    said = choice.message.model_dump(exclude_none=True)
    answer = {"role": "tool", "tool_call_id": call.id, "content": "snow"}
    after = ask(base, messages=[*ASKED, said, answer], tool_choice="none", max_tokens=8)
    assert after.choices[0].message.content
    assert not after.choices[0].message.tool_calls


if __name__ == "__main__":
    main()
