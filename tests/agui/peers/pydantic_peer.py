"""An agent of pydantic-ai with tools that need approval, tools of the front end, and a model that streams on cue."""

import asyncio

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.routing import Route


async def model(messages, info: AgentInfo):
    prompts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    asked = [part.content for part in prompts if isinstance(part, UserPromptPart)][-1]
    results = {}
    for message in reversed(messages):
        if isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts):
            break
        if isinstance(message, ModelRequest):
            results |= {part.tool_call_id: part.content for part in message.parts if isinstance(part, ToolReturnPart)}
    if results:
        for word in f"The results are {sorted(map(str, results.values()))}.".split(" "):
            yield word + " "
    elif asked.startswith("both"):
        yield {0: DeltaThinkingPart(content="Two tools at once.")}
        for place, (a, b) in enumerate([(1, 2), (3, 4)], start=1):
            yield {place: DeltaToolCall("add", f'{{"a": {a}, ', tool_call_id=f"call-{place}")}
            yield {place: DeltaToolCall(json_args=f'"b": {b}}}')}
    elif asked.startswith("delete"):
        yield {0: DeltaToolCall("delete", '{"name": "report"}', tool_call_id="call-3")}
    elif asked.startswith("choose"):
        yield {0: DeltaToolCall("choose", '{"of": ["red", "blue"]}', tool_call_id="call-4")}
    elif asked.startswith("slow tool"):
        yield {0: DeltaToolCall("slow", "{}", tool_call_id="call-5")}
    elif asked.startswith("slow"):
        yield "half "
        await asyncio.sleep(60)
    elif asked.startswith("fail"):
        raise RuntimeError("no model today")
    else:
        for word in f"You sent {len([part for part in prompts if isinstance(part, UserPromptPart)])} messages.".split(" "):
            yield word + " "


agent = Agent(FunctionModel(stream_function=model), output_type=[str, DeferredToolRequests])


@agent.tool_plain
def add(a: int, b: int) -> int:
    return a + b


@agent.tool_plain(requires_approval=True)
def delete(name: str) -> str:
    return f"deleted {name}"


@agent.tool_plain
async def slow() -> str:
    await asyncio.sleep(60)
    return "late"


async def run(request):
    return await AGUIAdapter.dispatch_request(request, agent=agent)


app = Starlette(routes=[Route("/", run, methods=["POST"])])
