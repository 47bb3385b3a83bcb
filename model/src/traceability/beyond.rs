//! Columns that must stay empty for a rule, with the reasons.

use quintet::kernel::rules::Rule;

use super::Column;

/// The reason why this column must be empty for this rule, if there is one.
pub fn reason(rule: Rule, column: Column) -> Option<&'static str> {
    let mut reasons = BEYOND.iter();
    reasons.find(|(id, of, _)| *id == rule.id && *of == column).map(|(_, _, why)| *why)
}

/// The reasons for empty columns. The list of what is not proved uses the same words.
const BEYOND: &[(&str, Column, &str)] = &[
    ("RUN-9", Column::Audit, "a journal shows that a call was recorded, not when its tool acted"),
    ("RUN-10", Column::Audit, "an illegal step never reaches a journal; that the run failed is RUN-5"),
    ("DEL-1", Column::Audit, "a journal does not show what was sent"),
    ("DEL-3", Column::Audit, "a journal does not show what was sent"),
    ("DEL-4", Column::Audit, "a journal does not show who read it"),
    ("DEL-5", Column::Audit, "a journal does not show what was promised"),
    ("DEL-7", Column::Audit, "a journal does not show what was answered"),
    ("ISO-3", Column::Audit, "a journal does not show what was answered"),
    ("ISO-4", Column::Audit, "a property of types, not of data"),
    ("ISO-5", Column::Audit, "a property of memory, not of data"),
    ("ISO-6", Column::Audit, "a property of time, not of data"),
    ("CONN-1", Column::Audit, "connections are not in a journal"),
    ("CONN-2", Column::Audit, "connections are not in a journal"),
    ("CONN-3", Column::Audit, "connections are not in a journal"),
    ("CONN-4", Column::Audit, "connections are not in a journal"),
    ("CONN-5", Column::Audit, "connections are not in a journal"),
    ("CONN-6", Column::Audit, "connections are not in a journal"),
    ("AUTH-1", Column::Audit, "tickets are not in a journal"),
    ("AUTH-2", Column::Audit, "tickets are not in a journal"),
    ("AUTH-3", Column::Audit, "credentials are not in a journal"),
    ("AUTH-4", Column::Audit, "origins are not in a journal"),
    ("AUTH-5", Column::Audit, "credentials are not in a journal"),
    ("AUTH-6", Column::Audit, "modes of files are not in a journal"),
    ("ISO-4", Column::Model, "a property of types: programs that break it do not compile"),
    ("ISO-6", Column::Model, "a property of time: who waits how long is not a state"),
    ("CONN-5", Column::Model, "a property of time: the machine only hears that a timer has run out"),
    ("AUTH-4", Column::Model, "an origin is looked at before there is a machine"),
    ("AUTH-6", Column::Model, "no machine opens a file or writes a log line"),
    ("ISO-1", Column::Specification, BY_ONE_USER),
    ("ISO-2", Column::Specification, BY_ONE_USER),
    ("ISO-4", Column::Specification, "a property of types: programs that break it do not compile"),
    (
        "ISO-5",
        Column::Specification,
        "a property of memory; the model has it, and every schedule of the registry",
    ),
    ("ISO-6", Column::Specification, "a property of time: who waits how long is not a state"),
    ("CONN-1", Column::Specification, BY_ITSELF),
    ("CONN-2", Column::Specification, BY_ITSELF),
    ("CONN-3", Column::Specification, BY_ITSELF),
    ("CONN-4", Column::Specification, BY_ITSELF),
    ("CONN-5", Column::Specification, BY_ITSELF),
    ("AUTH-3", Column::Specification, BY_ITSELF),
    ("AUTH-4", Column::Specification, "an origin is looked at before there is a machine"),
    ("AUTH-5", Column::Specification, BY_ITSELF),
    ("AUTH-6", Column::Specification, "no machine opens a file or writes a log line"),
];

const BY_ONE_USER: &str = "the specification is of one user's log, which has no name for another; two users side by side are \
                           explored in the model";
const BY_ITSELF: &str = "the connection machine is explored itself, with every input in every state; the specification begins with its deliveries";
