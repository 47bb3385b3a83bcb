# An agent in Python, over AG-UI:
#   pip install 'pydantic-ai-slim[ag-ui]' uvicorn
#   uvicorn pydantic_agent:app --port 8000
from pydantic_ai import Agent
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.routing import Route

# "test" is a model without a network that calls each tool once. Put the name of yours here.
agent = Agent("test", instructions="You know the weather.")


@agent.tool_plain
def temperature(city: str) -> str:
    return f"21 degrees in {city}"


async def run(request):
    return await AGUIAdapter.dispatch_request(request, agent=agent)


app = Starlette(routes=[Route("/", run, methods=["POST"])])
