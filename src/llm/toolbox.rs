//! The tools of an agent, chosen by patterns, under the names that its model knows.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use quintet_agent::{Json, Tool, ToolContext, ToolError, ToolPattern, ToolSource, async_trait};
use quintet_kernel::ids::ToolName;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    api::ToolSpec,
    names::{any_name, model_names},
};

/// All tools that an agent may choose from.
pub(crate) struct ToolChoice {
    pub(crate) patterns: Vec<ToolPattern>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) sources: Vec<Arc<dyn ToolSource>>,
}

/// The tools at one point in time.
pub(crate) struct Toolbox {
    tools: Vec<(String, Arc<dyn Tool>)>,
}

impl ToolChoice {
    /// Waits until the tools of all sources are known, or cannot be known for now; at most `limit`.
    pub(crate) async fn prepare(&self, limit: Duration) {
        let prepared = join_all(self.sources.iter().map(|source| source.prepare()));
        if timeout(limit, prepared).await.is_err() {
            tracing::debug!("a run begins without the tools of some servers, which are not ready");
        }
    }

    /// Returns the current tools. Of several tools with one name, the first is used.
    pub(crate) fn now(&self) -> Toolbox {
        let changing =
            self.sources.iter().flat_map(|source| source.tools().iter().cloned().collect::<Vec<_>>());
        let mut seen = BTreeSet::new();
        let tools: Vec<Arc<dyn Tool>> = self
            .tools
            .iter()
            .cloned()
            .chain(changing)
            .filter(|tool| self.patterns.iter().any(|pattern| pattern.matches(tool.name())))
            // A tool with an invalid name cannot be called.
            .filter(|tool| ToolName::parse(tool.name()).is_ok() && seen.insert(tool.name().to_owned()))
            .collect();
        let names = model_names(tools.iter().map(|tool| tool.name()));
        Toolbox { tools: names.into_iter().zip(tools).collect() }
    }
}

impl Toolbox {
    /// Returns true if there is no tool.
    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Returns the tools, as they are described to a model.
    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        let spec = |(name, tool): &(String, Arc<dyn Tool>)| ToolSpec {
            name: name.clone(),
            description: tool.description().to_owned(),
            parameters: object_schema(tool.parameters_schema()),
        };
        self.tools.iter().map(spec).collect()
    }

    /// Returns the tool that the model knows by this name.
    pub(crate) fn by_model_name(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|(known, _)| known == name).map(|(_, tool)| tool)
    }

    /// Returns the tool of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|(_, tool)| tool.name() == name).map(|(_, tool)| tool)
    }

    /// Returns the model's name of a tool, which need not be among the current ones.
    pub(crate) fn model_name(&self, name: &str) -> String {
        let known = self.tools.iter().find(|(_, tool)| tool.name() == name);
        known.map_or_else(|| any_name(name), |(known, _)| known.clone())
    }
}

/// Adds what the APIs demand of the schema of parameters: that it is of an object, with its properties.
fn object_schema(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return json!({"type": "object", "properties": {}}) };
    schema.entry("type").or_insert_with(|| "object".into());
    schema.entry("properties").or_insert_with(|| json!({}));
    Value::Object(schema)
}

/// A tool that a resumed run has called and that is no longer there. Its recorded result is used; it has no
/// other.
pub(crate) struct GoneTool(pub(crate) String);

#[async_trait]
impl Tool for GoneTool {
    fn name(&self) -> &str {
        &self.0
    }

    fn description(&self) -> &str {
        "Is no longer available."
    }

    fn parameters_schema(&self) -> Value {
        json!({"type": "object"})
    }

    async fn invoke(&self, _: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        Err(ToolError::user_facing("the tool is no longer available"))
    }
}
