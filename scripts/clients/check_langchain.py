"""LangChain's OpenAI integration against a node whose model four workers hold."""

import openai
import pydantic
from checks import STORY, check, endless, main
from langchain_openai import ChatOpenAI


def chat(base, **extra):
    settings = {"model": "demo", "max_tokens": 24, "temperature": 0, "max_retries": 0} | extra
    return ChatOpenAI(base_url=f"{base}/v1", api_key="none", **settings)


@check
def streamed_and_whole_answers_are_the_same(base):
    whole = chat(base).invoke(STORY)
    text = "".join(chunk.content for chunk in chat(base).stream(STORY))
    assert whole.content == text and text
    assert whole.usage_metadata["output_tokens"] == 24


@check
def stops(base):
    text = chat(base).invoke(STORY).content
    word = text.split()[4]
    assert chat(base).invoke(STORY, stop=[word]).content == text[: text.index(word)]


@check
def answers_that_follow_a_schema(base):
    class Animal(pydantic.BaseModel):
        """An animal."""

        name: str = pydantic.Field(max_length=12)
        legs: int = pydantic.Field(ge=0, le=8)

    model = chat(base, max_tokens=120).with_structured_output(Animal, method="json_schema")
    assert isinstance(model.invoke(STORY), Animal)


@check
def an_unknown_model_is_an_error(base):
    try:
        chat(base, model="none").invoke(STORY)
    except openai.NotFoundError:
        return
    raise AssertionError("an unknown model was accepted")


def lost(base, ready):
    keys = endless(base)
    model = chat(base, max_tokens=keys["max_tokens"], model_kwargs={"logit_bias": keys["logit_bias"]})
    try:
        for index, _ in enumerate(model.stream(STORY)):
            if index == 3:
                ready()
    except Exception as error:
        return error
    return None


if __name__ == "__main__":
    main(lost)
