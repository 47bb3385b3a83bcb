//! What a front end does with events: `defaultApplyEvents` of AG-UI's clients, read and written anew.

use serde_json::{Value, json};

/// The messages that a front end shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown(pub(super) Vec<Value>);

impl Shown {
    /// Applies an event.
    pub(super) fn apply(&mut self, event: &Value) {
        let id = event["messageId"].clone();
        match event["type"].as_str().unwrap() {
            "TEXT_MESSAGE_START" => self.add(json!({"id": id, "role": "assistant", "content": ""})),
            "REASONING_MESSAGE_START" => self.add(json!({"id": id, "role": "reasoning", "content": ""})),
            "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT" => {
                let message = self.find(&id).expect("a message of this id");
                let text =
                    format!("{}{}", message["content"].as_str().unwrap(), event["delta"].as_str().unwrap());
                message["content"] = json!(text);
            }
            "TOOL_CALL_START" => {
                let (id, name) = (&event["toolCallId"], &event["toolCallName"]);
                let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}});
                self.add(json!({"id": id, "role": "assistant", "toolCalls": [call]}));
            }
            "TOOL_CALL_ARGS" => {
                let message = self.find(&event["toolCallId"].clone()).expect("a message of this call");
                let arguments = &mut message["toolCalls"][0]["function"]["arguments"];
                *arguments =
                    json!(format!("{}{}", arguments.as_str().unwrap(), event["delta"].as_str().unwrap()));
            }
            "TOOL_CALL_RESULT" => {
                let (call, content) = (&event["toolCallId"], &event["content"]);
                let result = json!({"id": id, "role": "tool", "toolCallId": call, "content": content});
                let owner = self.0.iter().position(|message| message["toolCalls"][0]["id"] == *call);
                let mut at = owner.map_or(self.0.len(), |owner| owner + 1);
                while self.0.get(at).is_some_and(|message| message["role"] == "tool") {
                    at += 1;
                }
                self.0.insert(at, result);
            }
            "MESSAGES_SNAPSHOT" => self.merge(event["messages"].as_array().unwrap()),
            _ => {}
        }
    }

    fn add(&mut self, message: Value) {
        if self.find(&message["id"]).is_none() {
            self.0.push(message);
        }
    }

    fn find(&mut self, id: &Value) -> Option<&mut Value> {
        self.0.iter_mut().find(|message| message["id"] == *id)
    }

    /// Messages of the snapshot replace those of the same id, and the rest is added. Others are removed, except for
    /// reasoning if the snapshot has none.
    fn merge(&mut self, snapshot: &[Value]) {
        let is = |role: &'static str| move |message: &Value| message["role"] == role;
        let keeps_reasoning = !snapshot.iter().any(is("reasoning"));
        let in_snapshot = |id: &Value| snapshot.iter().find(|message| message["id"] == *id);
        self.0.retain(|message| {
            in_snapshot(&message["id"]).is_some() || (keeps_reasoning && is("reasoning")(message))
        });
        for message in &mut self.0 {
            if let Some(newer) = in_snapshot(&message["id"]) {
                *message = newer.clone();
            }
        }
        for message in snapshot {
            self.add(message.clone());
        }
    }

    /// Orders the messages by their ids.
    pub(super) fn by_id(mut self) -> Self {
        self.0.sort_by_key(|message| message["id"].as_str().unwrap().to_owned());
        self
    }

    /// Removes members that events do not carry: the error of a result.
    pub(super) fn plain(mut self) -> Self {
        for message in &mut self.0 {
            message.as_object_mut().unwrap().remove("error");
        }
        self
    }
}
