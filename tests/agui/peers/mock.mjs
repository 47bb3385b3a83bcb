// The AG-UI mock of aimock, with a fixture for each of its builders.
import { AGUIMock, buildAGUICompositeResponse, buildAGUIReasoningResponse, buildAGUITextChunkResponse, buildAGUIToolCallResponse } from "@copilotkit/aimock";

const mock = new AGUIMock({ port: 0 });
mock.onMessage("hello", "Hello from the mock.");
mock.onRun("chunk", buildAGUITextChunkResponse("In one chunk."));
mock.onToolCall("weather", "get_weather", '{"city":"Berlin"}', { result: '{"degrees":21}' });
mock.onReasoning("why", "Because of the fixture.");
mock.onStateKey("unused", {});
mock.onRun("all", buildAGUICompositeResponse([
  buildAGUIReasoningResponse("First."),
  buildAGUIToolCallResponse("look_up", "{}", { result: "found" }),
]));
console.log(await mock.start());
