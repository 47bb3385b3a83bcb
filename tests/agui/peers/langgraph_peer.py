"""An agent of LangGraph with a tool and a question, and a model that streams on cue."""

import asyncio

from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt


def asked(messages):
    """The last message of the user, and the results of tools since."""
    place = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    results = [message.content for message in messages[place:] if isinstance(message, ToolMessage)]
    return messages[place].content, results


class Model(BaseChatModel):
    """Streams words, or calls of tools."""

    @property
    def _llm_type(self):
        return "on-cue"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        raise NotImplementedError

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        text, results = asked(messages)
        calls = {
            "both": [("add", ['{"a": 1, ', '"b": 2}']), ("add", ['{"a": 3, ', '"b": 4}'])],
            "book": [("book", ['{"nights"', ": 2}"])],
            "slow tool": [("slow", ["{}"])],
        }
        if text in calls and not results:
            for place, (name, arguments) in enumerate(calls[text]):
                # As with models of OpenAI, the first chunk has the name alone.
                call = {"name": name, "args": "", "id": f"call-{place}-{len(messages)}", "index": place}
                yield chunk(tool_call_chunks=[call])
                for part in arguments:
                    yield chunk(tool_call_chunks=[{"name": None, "args": part, "id": None, "index": place}])
            return
        if text == "fail":
            raise RuntimeError("no model today")
        count = sum(isinstance(message, HumanMessage) for message in messages)
        answer = f"The results are {', '.join(results)}." if results else f"You sent {count} messages."
        for word in answer.split(" "):
            yield chunk(word + " ")
            if text == "slow":
                await asyncio.sleep(60)


def chunk(text="", **more):
    return ChatGenerationChunk(message=AIMessageChunk(content=text, **more))


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@tool
def book(nights: int) -> str:
    """Books a room in a city that the user chooses."""
    city = interrupt({"message": f"Which city for {nights} nights?", "reason": "city"})
    return f"{nights} nights in {city}"


@tool
async def slow() -> str:
    """Takes a minute."""
    await asyncio.sleep(60)
    return "late"


async def talk(state):
    return {"messages": [await Model().ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("talk", talk)
builder.add_node("tools", ToolNode([add, book, slow]))
builder.add_edge(START, "talk")
builder.add_conditional_edges("talk", tools_condition)
builder.add_edge("tools", "talk")
agent = LangGraphAgent(name="peer", graph=builder.compile(checkpointer=InMemorySaver()))


app = FastAPI()
add_langgraph_fastapi_endpoint(app, agent)
