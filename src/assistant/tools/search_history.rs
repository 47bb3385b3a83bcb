//! `search_history`: finds words in the user's own log, newest first.
//!
//! Guarantees: a search reads only messages and answers of the run's user from before the run (ISO-1), at
//! most `search_entries_max` entries and `search_bytes_max` bytes, and returns `complete: false` if there
//! were more. It yields after at most [`STEP_BYTES_MAX`] bytes, and ends there if its run or call has ended.
//! Searches hold at most `searches_max` pages in memory, and one user runs at most `user_searches_max` of
//! them (ISO-6).

use async_trait::async_trait;
use quintet_agent::{Tool, ToolContext, ToolError, gate::yield_turn, limits::AgentLimits};
use quintet_kernel::json::Json;
use serde::Deserialize;
use serde_json::json;

use super::{fold::QueryWords, searches::Searches};

/// The tool `search_history`.
pub struct SearchHistory {
    searches: Searches,
    bytes_max: usize,
    entries_max: usize,
}

/// The searchable fields of an entry.
#[derive(Deserialize)]
struct SearchedEntry {
    #[serde(rename = "type")]
    kind: String,
    run_id: String,
    thread_id: String,
    timestamp: u64,
    tool_name: Option<String>,
    text: Option<String>,
    final_response: Option<String>,
}

/// The author of the text that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    #[default]
    Anyone,
    User,
    Agent,
}

#[derive(Deserialize)]
struct Parameters {
    query: String,
    #[serde(default)]
    from: From,
    #[serde(default = "matches_usual")]
    limit: usize,
}

impl SearchHistory {
    /// Creates the tool with permits of its own: its limits hold for the agents that share it (ISO-6).
    pub fn new(limits: &AgentLimits) -> Self {
        Self {
            searches: Searches::new(limits.searches_max, limits.user_searches_max),
            bytes_max: limits.search_bytes_max,
            entries_max: limits.search_entries_max,
        }
    }

    async fn search(
        &self,
        parameters: Parameters,
        context: &ToolContext,
    ) -> Result<serde_json::Value, String> {
        let ToolContext { history, run_id, .. } = context;
        let words = QueryWords::of(&parameters.query);
        if words.is_empty() {
            return Err("query has no words".into());
        }
        let place = self.searches.slot(history.owner());
        let _own = place.wait(history.line()).await?;
        let mut found = Matches::new(parameters.from, parameters.limit, run_id.to_string());
        let (mut entries, mut bytes, mut step, mut folded) = (0, 0, 0, String::new());
        let mut next = Some(history.newest());
        'pages: while let Some(page) = next {
            if found.is_enough() {
                break;
            }
            let _room = self.searches.page(history.line()).await?;
            let (lines, earlier) =
                history.before(page).await.map_err(|_| "the log cannot be read at the moment")?;
            for (offset, line) in lines {
                if entries >= self.entries_max || bytes >= self.bytes_max {
                    break 'pages;
                }
                entries += 1;
                bytes += line.len();
                step += line.len();
                found.look(offset.0, &line, &words, &mut folded);
                if step >= STEP_BYTES_MAX {
                    step = 0;
                    yield_turn().await;
                }
            }
            next = earlier;
        }
        Ok(json!({
            "query": words.query(),
            "matches": found.into_matches(),
            "entries_read": entries,
            "complete": next.is_none(),
        }))
    }
}

/// The matches so far, newest first.
struct Matches {
    from: From,
    limit: usize,
    own_run: String,
    matches: Vec<Match>,
}

struct Match {
    run_id: String,
    /// True once the run is known not to have searched itself.
    settled: bool,
    shown: serde_json::Value,
}

impl Matches {
    fn new(from: From, limit: usize, own_run: String) -> Self {
        Self { from, limit: limit.clamp(1, MATCHES_MAX), own_run, matches: Vec::new() }
    }

    /// Returns true if no further entry can change the result.
    fn is_enough(&self) -> bool {
        self.matches.len() >= self.limit && self.matches[..self.limit].iter().all(|found| found.settled)
    }

    /// Examines an entry. Excluded are the message of this run and answers of runs that searched themselves,
    /// since those repeat what was found, or that nothing was.
    fn look(&mut self, offset: u64, line: &[u8], words: &QueryWords, folded: &mut String) {
        // Erased entries cannot match.
        let Ok(line) = serde_json::from_slice::<SearchedEntry>(line) else { return };
        if line.run_id == self.own_run {
            return;
        }
        let of_run = |found: &Match| found.run_id == line.run_id;
        let (who, text) = match (line.kind.as_str(), line.text, line.final_response) {
            ("user_message", Some(text), _) if self.from != From::Agent => ("user", text),
            ("agent_completed", _, Some(text)) if self.from != From::User => ("agent", text),
            ("tool_executing", ..) if line.tool_name.as_deref() == Some(NAME) => {
                return self.matches.retain(|found| found.settled || !of_run(found));
            }
            ("agent_started", ..) => {
                return self
                    .matches
                    .iter_mut()
                    .filter(|found| of_run(found))
                    .for_each(|found| found.settled = true);
            }
            _ => return,
        };
        // Further matches can never be among the first, even if newer ones are excluded later.
        if self.matches.iter().filter(|found| found.settled).count() >= self.limit {
            return;
        }
        let Some(excerpt) = words.excerpt(&text, folded) else { return };
        let shown = json!({
            "offset": offset,
            "thread_id": line.thread_id,
            "timestamp": line.timestamp,
            "who": who,
            "excerpt": excerpt,
        });
        self.matches.push(Match { run_id: line.run_id, settled: who == "user", shown });
    }

    fn into_matches(self) -> Vec<serde_json::Value> {
        self.matches.into_iter().take(self.limit).map(|found| found.shown).collect()
    }
}

#[async_trait]
impl Tool for SearchHistory {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> &str {
        "Finds the latest messages and answers of this user that have all the words of the query in them."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1},
                "from": {"enum": ["anyone", "user", "agent"], "default": "anyone"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MATCHES_MAX, "default": MATCHES_USUAL},
            },
            "required": ["query"],
        })
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, ToolError> {
        let parameters: Parameters = serde_json::from_str(parameters.as_str())
            .map_err(|error| ToolError::user_facing(error.to_string()))?;
        let found = self.search(parameters, context).await.map_err(ToolError::user_facing)?;
        Ok(Json::from(&found))
    }
}

fn matches_usual() -> usize {
    MATCHES_USUAL
}

const NAME: &str = "search_history";

/// Bytes that are searched without a yield, unless one entry is longer.
pub const STEP_BYTES_MAX: usize = 64 * 1024;

/// Greatest number of matches of a search.
pub const MATCHES_MAX: usize = 50;

const MATCHES_USUAL: usize = 5;
