//! Tests with expressions near the limits, evaluated on a small stack and within the budget (RUN-6, ISO-6).
//!
//! A stack overflow aborts the process and cannot be caught. So depth and length of an expression, and the
//! terms of the continued fractions of its values, must not become stack frames.

use std::{sync::mpsc, time::Duration};

use num_bigint::BigUint;
use proptest::prelude::*;

use super::{EXPRESSION_BYTES_MAX, evaluate};

/// Evaluates and formats on a thread with [`STACK_BYTES`] of stack, within [`ANSWER_TIMEOUT`].
fn on_a_small_stack(expression: &str) -> Result<String, String> {
    let text = expression.to_owned();
    let (answer, answered) = mpsc::channel();
    let work = move || {
        let number = evaluate(&text).map_err(|error| error.to_string());
        let digits = number.map(|number| {
            number.fraction();
            assert!(number == number.clone());
            number.decimal().0
        });
        answer.send(digits).expect("the test waits");
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread");
    let start: String = expression.chars().take(60).collect();
    let digits = answered.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|error| panic!("{start}: {error}"));
    thread.join().expect("no panic");
    digits
}

/// Returns two consecutive Fibonacci numbers, whose quotient has as many terms as its size allows.
fn fibonacci(n: usize) -> (BigUint, BigUint) {
    let (mut a, mut b) = (BigUint::ZERO, BigUint::from(1u32));
    for _ in 0..n {
        (a, b) = (b.clone(), a + b);
    }
    (a, b)
}

/// Returns `F(n+1)/F(n)`, shifted by an integer to vary sign and size.
fn long_quotient(n: usize, shift: i64) -> String {
    let (a, b) = fibonacci(n);
    format!("({b}/{a}+({shift}))")
}

#[test]
fn run_6_comparing_fractions_of_many_terms_needs_no_stack() {
    for n in [1000, 5960, 8000, 11_700] {
        let (p, q) = (long_quotient(n, 0), long_quotient(n - 1, 0));
        for function in ["min", "max"] {
            let found = on_a_small_stack(&format!("{function}({p}, {q})"));
            assert!(found.as_deref().is_ok_and(|digits| digits.starts_with("1.618033988")), "{n}: {found:?}");
        }
        for expression in [
            format!("round({p})"),
            format!("floor({p}) + ceil({q}) + abs(-{p})"),
            format!("{p} % {q}"),
            format!("min({p}, {p}, {p}, {p})"),
        ] {
            assert!(on_a_small_stack(&expression).is_ok_and(|digits| !digits.is_empty()), "{n}");
        }
    }
}

#[test]
fn run_6_nesting_and_chains_of_a_whole_message_need_no_stack() {
    let half = MESSAGE_BYTES_MAX / 2 - 8;
    let nested = ["(", "-(", "sqrt(", "min(1,", "2*(", "1+(", "2^(", "1-(", "abs(", "round("];
    for open in nested {
        let depth = 2 * half / (open.len() + 1);
        let _ = on_a_small_stack(&format!("{}1{}", open.repeat(depth), ")".repeat(depth)));
        let _ = on_a_small_stack(&open.repeat(depth));
    }
    let chains = [
        "1+", "1-", "1*", "1/", "2%", "1^", "2^", "1^-", "-", "+", "2**", "1-(-1)+", "9/7+", "1.5e9*",
        "1e-9+", "1/3-", "50% of ", "1+1%+", "√", "sqrt ", "2 mod ",
    ];
    for chain in chains {
        let times = 2 * half / chain.len();
        let _ = on_a_small_stack(&format!("{}1", chain.repeat(times)));
    }
    for tail in ["!", "%", "²", "!%²"] {
        let _ = on_a_small_stack(&format!("1{}", tail.repeat(half / tail.len())));
    }
    let list = vec!["1/7"; half / 4].join(",");
    for function in ["min", "max"] {
        assert_eq!(on_a_small_stack(&format!("{function}({list})")).map(|digits| digits.len()), Ok(32));
    }
}

/// Every operation is charged: an expression of any kind and length ends in bounded time.
#[test]
fn iso_6_every_operation_is_paid_for() {
    let (a, b) = fibonacci(11_000);
    let numbers = [
        format!("{b}/{a}"),
        "7e-2400".into(),
        format!("{}/3", "7".repeat(2400)),
        "2^8000".into(),
        "1700!".into(),
        "(2^8000+1)^(1/16)".into(),
        "1".into(),
        "1%".into(),
    ];
    for number in &numbers {
        for (start, between, end) in [
            ("min(", ", ", ")"),
            ("", " + ", ""),
            ("", " % ", ""),
            ("", " / ", ""),
            ("round(", ") + round(", ")"),
            ("sqrt(", ") + sqrt(", ")"),
            ("", "+(", ""),
        ] {
            let times = (EXPRESSION_BYTES_MAX - 64) / (number.len() + between.len());
            let expression = format!("{start}{}{end}", vec![number.as_str(); times].join(between));
            let _ = on_a_small_stack(&expression);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Long quotients under any operation, next to each other and nested.
    #[test]
    fn run_6_long_quotients_under_any_operation_need_no_stack(
        sizes in prop::collection::vec((2usize..11_700, -3i64..3), 1..5),
        template in prop::sample::select(vec![
            "min(A)", "max(A)", "A", "round(A)", "floor(A)", "min(max(A), 1, A)", "abs(A)", "ceil(A)",
        ]),
        separator in prop::sample::select(vec![", ", " + ", " - ", " * ", " / ", " % ", " mod ", " ^ "]),
    ) {
        let numbers: Vec<_> = sizes.iter().map(|(n, shift)| long_quotient(*n, *shift)).collect();
        let expression = template.replace('A', &numbers.join(separator));
        let _ = on_a_small_stack(&expression);
    }

    /// Pieces in any order, repeated up to the length of a message.
    #[test]
    fn run_6_any_repeated_pieces_need_no_stack(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "1", "2.5", "-", "+", "*", "/", "%", "^", "!", "²", "½", "√", "sqrt", "min(", ",", " ",
            "of ", "mod ", "pi", "e", "2k", "avg(", "1/3", "1e-99", "7",
        ]), 1..8),
        ends in any::<bool>(),
    ) {
        let unit = pieces.concat();
        let expression = unit.repeat(MESSAGE_BYTES_MAX / unit.len()) + if ends { "1" } else { "" };
        let _ = on_a_small_stack(&expression);
    }
}

/// The longest message that a user can send.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A sixteenth of the default stack of a thread.
const STACK_BYTES: usize = 128 * 1024;

/// Generous for a debug build on a busy machine. Without charges some of these take minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
