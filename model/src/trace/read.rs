//! A file of records into the processes that wrote it.

use quintet_monitor::record::{FORMAT, Record, Start, TraceLine};

use super::Refused;

/// The records of one process, each with its line in the file.
#[derive(Clone, Debug)]
pub struct Process {
    pub line: usize,
    pub start: Start,
    pub records: Vec<(usize, Record)>,
}

/// Reads a trace. A line may be truncated only where its process was killed; a number may be missing only
/// where the trace reports lost records.
pub fn read(text: &str) -> Result<Vec<Process>, Refused> {
    let mut processes: Vec<Process> = Vec::new();
    let mut torn: Option<usize> = None;
    let mut last = 0;
    let mut hole = false;
    for (number, text) in (1..).zip(text.lines()) {
        if text.is_empty() {
            continue;
        }
        let line: TraceLine = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(_) if torn.is_none() => {
                torn = Some(number);
                continue;
            }
            Err(error) => return Err(Refused::at(number, format!("not a record: {error}"))),
        };
        let starts = matches!(line.record, Record::Start(_));
        let lost = matches!(line.record, Record::Lost { .. });
        if let Some(torn) = torn.take_if(|_| !starts && !lost) {
            return Err(Refused::at(torn, "a record is cut off, and its process goes on"));
        }
        torn = None;
        let process = match (line.record, processes.last_mut()) {
            (Record::Start(start), _) => {
                if start.format != FORMAT {
                    return Err(Refused::at(number, format!("format {} is not known", start.format)));
                }
                if line.n != 1 {
                    return Err(Refused::at(number, "a process begins with another number than 1"));
                }
                processes.push(Process { line: number, start, records: Vec::new() });
                (last, hole) = (1, false);
                continue;
            }
            (_, None) => return Err(Refused::at(number, "a record before the start of a process")),
            (record, Some(process)) => {
                process.records.push((number, record));
                process
            }
        };
        let follows = line.n == last + 1 || ((lost || hole) && line.n > last);
        if !follows {
            process.records.pop();
            return Err(Refused::at(number, format!("record {} follows record {last}", line.n)));
        }
        (last, hole) = (line.n, lost);
    }
    Ok(processes)
}
