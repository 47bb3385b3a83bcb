//! `search_history`: finds words in the user's own log, the newest first.
//!
//! Guarantee: it reads only what the run's user wrote and was answered before the run (ISO-1), at most
//! [`SCAN_ENTRIES_MAX`] entries and [`SCAN_BYTES_MAX`] bytes, and says if that was not all.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use crate::{
    agent::roles::{Tool, ToolContext},
    kernel::{ids::ToolName, json::Json},
};

/// The search.
pub struct SearchHistory;

/// An entry, as far as it can be searched.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    run_id: String,
    thread_id: String,
    timestamp: u64,
    text: Option<String>,
    final_response: Option<String>,
}

/// Whose words are searched.
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

#[async_trait]
impl Tool for SearchHistory {
    fn name(&self) -> ToolName {
        ToolName::parse("search_history").expect("a valid name")
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

    async fn invoke(&self, parameters: &Json, context: &ToolContext) -> Result<Json, String> {
        let parameters: Parameters =
            serde_json::from_str(parameters.as_str()).map_err(|error| error.to_string())?;
        search(parameters, context).await.map(|found| Json::from(&found))
    }
}

async fn search(parameters: Parameters, context: &ToolContext) -> Result<serde_json::Value, String> {
    let ToolContext { history, run_id, .. } = context;
    let own_run = run_id.to_string();
    let Parameters { query, from, limit } = parameters;
    let words: Vec<Vec<char>> = query.split_whitespace().take(WORDS_MAX).map(folded).collect();
    if words.is_empty() {
        return Err("query has no words".into());
    }
    let limit = limit.clamp(1, MATCHES_MAX);
    let (mut matches, mut entries, mut bytes) = (Vec::new(), 0, 0);
    let mut next = Some(history.newest());
    while let Some(page) = next {
        if matches.len() == limit || entries >= SCAN_ENTRIES_MAX || bytes >= SCAN_BYTES_MAX {
            break;
        }
        let (lines, earlier) =
            history.before(page).await.map_err(|_| "the log cannot be read at the moment")?;
        for (offset, line) in lines {
            entries += 1;
            bytes += line.len();
            // Lines that are neither said nor answered have nothing to find.
            let Ok(line) = serde_json::from_slice::<Line>(&line) else { continue };
            // The message that asks is no finding.
            if line.run_id == own_run {
                continue;
            }
            let (who, text) = match (line.kind.as_str(), line.text, line.final_response) {
                ("user_message", Some(text), _) if from != From::Agent => ("user", text),
                ("agent_completed", _, Some(text)) if from != From::User => ("agent", text),
                _ => continue,
            };
            if let Some(excerpt) = excerpt(&text, &words)
                && matches.len() < limit
            {
                matches.push(json!({
                    "offset": offset,
                    "thread_id": line.thread_id,
                    "timestamp": line.timestamp,
                    "who": who,
                    "excerpt": excerpt,
                }));
            }
        }
        next = earlier;
        tokio::task::consume_budget().await;
    }
    Ok(json!({"query": query, "matches": matches, "entries_read": entries, "complete": next.is_none()}))
}

/// The surroundings of the first word in a text that has all of them.
fn excerpt(text: &str, words: &[Vec<char>]) -> Option<String> {
    let mut letters = Vec::new();
    let mut origins = Vec::new();
    for (origin, c) in text.char_indices() {
        for letter in folds(c) {
            letters.push(letter);
            origins.push(origin);
        }
    }
    let mut first = usize::MAX;
    for word in words {
        let found = letters.windows(word.len()).position(|window| window == word.as_slice())?;
        first = first.min(origins[found]);
    }
    let start =
        text[..first].char_indices().rev().take(EXCERPT_CHARS_BEFORE).last().map_or(first, |(at, _)| at);
    let shown: String = text[start..].chars().take(EXCERPT_CHARS).collect();
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if start + shown.len() < text.len() { "…" } else { "" });
    Some(format!("{before}{}{after}", shown.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn folded(word: &str) -> Vec<char> {
    word.chars().flat_map(folds).collect()
}

/// A letter without its case: `ß` as `ss`, every sigma as one.
fn folds(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase)
}

fn matches_usual() -> usize {
    MATCHES_USUAL
}

/// Entries that one search reads.
pub const SCAN_ENTRIES_MAX: usize = 20_000;

/// Bytes that one search reads, but for the page that exceeds them.
pub const SCAN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Matches of a search.
pub const MATCHES_MAX: usize = 50;

const MATCHES_USUAL: usize = 5;

/// Words of a query that are looked for.
const WORDS_MAX: usize = 16;

const EXCERPT_CHARS: usize = 160;

const EXCERPT_CHARS_BEFORE: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, query: &str) -> Option<String> {
        let words: Vec<_> = query.split_whitespace().map(folded).collect();
        excerpt(text, &words)
    }

    #[test]
    fn case_is_of_no_matter_in_any_script() {
        assert_eq!(found("Die STRASSE nach Köln", "straße KÖLN").unwrap(), "Die STRASSE nach Köln");
        assert!(found("ΟΔΟΣ", "οδος").is_some());
        assert!(found("οδός", "ΟΔΌΣ").is_some());
        assert!(found("ÇA VA", "ça").is_some());
        assert!(found("about cats", "dogs").is_none());
        assert!(found("about cats", "cats dogs").is_none(), "all words are needed");
        assert!(found("", "x").is_none());
    }

    #[test]
    fn an_excerpt_shows_the_place_and_what_is_left_out() {
        let text = format!("{} needle {}", "é".repeat(500), "ü".repeat(500));
        let shown = found(&text, "NEEDLE").unwrap();
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains(" needle "));
        assert!(shown.chars().count() <= EXCERPT_CHARS + 2);
        assert_eq!(found("İstanbul", "stanbul").unwrap(), "İstanbul");
    }
}
