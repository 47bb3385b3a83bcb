//! Any text as expressions, with `;` between, on a small stack.
//!
//! Whatever the text, evaluation ends in a value or an error, without deep recursion (RUN-6). What has
//! a value has the same one in parentheses and as its own decimal digits, and comparisons agree with sums.

use quintet::assistant::tools::{calculate::evaluate, number::Number};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || check(&text));
    thread.expect("a thread").join().expect("no panic");
}

fn check(text: &str) {
    let parts: Vec<(&str, Number)> =
        text.split(';').take(PARTS_MAX).filter_map(|part| Some((part, value(part)?))).collect();
    for (part, number) in &parts {
        let grouped = evaluate(&format!("({part})")).expect("a value has one in parentheses");
        assert!(grouped == *number, "{part}");
        let (digits, exact) = number.decimal();
        assert!(digits.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit()), "{digits}");
        if exact && let Ok(again) = evaluate(&digits) {
            assert_eq!(again.decimal().0, digits);
        }
        number.fraction();
    }
    for pair in parts.windows(2) {
        let (a, b) = (pair[0].0, pair[1].0);
        let of = |expression: String| evaluate(&expression).ok().map(|number| number.decimal().0);
        let both = of(format!("min(({a}), ({b})) + max(({a}), ({b}))"));
        let sum = of(format!("({a}) + ({b})"));
        if let (Some(both), Some(sum)) = (both, sum) {
            assert_eq!(both, sum, "{a}; {b}");
        }
        assert_eq!(of(format!("min(({a}), ({b}))")), of(format!("min(({b}), ({a}))")), "{a}; {b}");
    }
}

fn value(part: &str) -> Option<Number> {
    match evaluate(part) {
        Ok(number) => Some(number),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

const PARTS_MAX: usize = 8;

const STACK_BYTES: usize = 256 * 1024;
