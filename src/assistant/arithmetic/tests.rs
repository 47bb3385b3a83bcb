//! Tests of calculations, their values, and declined requests.

use proptest::prelude::*;

use super::{
    super::intent::{Intent, Understood, understand},
    Sum,
};
use crate::tools::calculate::evaluate;

/// Returns the sums of a message, or the sentence that declines one.
fn sums(text: &str) -> Result<Vec<Sum>, String> {
    match understand(text) {
        Understood::Requests { intents, declined, .. } => match declined.first() {
            Some(why) => Err(why.clone()),
            None => Ok(intents
                .into_iter()
                .filter_map(|intent| match intent {
                    Intent::Calculate(sum) => Some(sum),
                    _ => None,
                })
                .collect()),
        },
        _ => Ok(Vec::new()),
    }
}

fn expressions(text: &str) -> Vec<String> {
    let sums = sums(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    sums.into_iter().map(|sum| sum.expression).collect()
}

#[test]
fn sums_are_found_in_sentences() {
    let cases: &[(&str, &[&str])] = &[
        ("what is 12*(3+4)?", &["12 * (3 + 4)"]),
        ("12*(3+4)", &["12 * (3 + 4)"]),
        ("What's 2 + 2, and 3 times 4?", &["2 + 2", "3 * 4"]),
        ("what is 2 + 2 and 3 times 4", &["2 + 2", "3 * 4"]),
        ("twelve times (3 plus four)", &["12 * (3 + 4)"]),
        ("I need 15% of 80 please", &["15% of 80"]),
        ("ten percent of 1,000", &["10% of 1000"]),
        ("3 x 4 = ?", &["3 * 4"]),
        ("the square root of 16 plus 1", &["sqrt 16 + 1"]),
        ("sqrt(16) and max(1, 2, 3)", &["sqrt(16)", "max(1, 2, 3)"]),
        ("five squared", &["5²"]),
        ("2**10 is what?", &["2 ^ 10"]),
        ("add it up (1+2).", &["(1 + 2)"]),
        ("what is 2*(3+4", &["2 * (3 + 4"]),
        ("1/0", &["1 / 0"]),
        ("10-12", &["10 - 12"]),
        ("compute 10-4", &["10 - 4"]),
        ("-3 + 5", &["-3 + 5"]),
        ("2 to the power of 99999999", &["2 ^ 99999999"]),
        ("7 mod 3; 1.5e3/2", &["7 mod 3", "1.5e3 / 2"]),
        ("Hello! Could you calculate 2+2 for me, please?", &["2 + 2"]),
        ("what does 2+2 equal", &["2 + 2"]),
    ];
    for (text, expected) in cases {
        assert_eq!(expressions(text), *expected, "{text}");
    }
}

/// Plain questions, with the value that a reader expects.
#[test]
fn plain_questions_have_their_expected_value() {
    let cases = [
        ("one hundred and five times two", "210"),
        ("a hundred and one plus one", "102"),
        ("two hundred and fifty plus thirty-five", "285"),
        ("ninety-nine minus nine", "90"),
        ("twenty one plus four", "25"),
        ("two thousand and six divided by two", "1003"),
        ("three point five times two", "7"),
        ("one million minus one", "999999"),
        ("2 million plus 500 thousand", "2500000"),
        ("fifty percent of two hundred", "100"),
        ("5 mod -3", "-1"),
        ("5 % -3", "-1"),
        ("17 modulo 5", "2"),
        ("7 % 3", "1"),
        ("what is 2 + 2 and then times 3", "12"),
        ("what is 2 + 2, then divided by 8", "0.5"),
        ("What is 10 + 5? Then multiply by 2.", "30"),
        ("200 + 15%", "230"),
        ("200 plus 15 percent", "230"),
        ("200 - 15%", "170"),
        ("what is 20% off 80?", "64"),
        ("20% off of $80", "64"),
        ("take 20% off 80", "64"),
        ("$5 off $20", "15"),
        ("add 8% tax to 45.50", "49.14"),
        ("45.50 plus 8% tax", "49.14"),
        ("what is a 15% tip on 60", "9"),
        ("15% tip on $60", "9"),
        ("increase 50 by 10%", "55"),
        ("reduce 50 by 10%", "45"),
        ("half of 90", "45"),
        ("what is half of 90?", "45"),
        ("double 35", "70"),
        ("triple 5", "15"),
        ("a quarter of 100", "25"),
        ("three quarters of 100", "75"),
        ("average of 10, 20 and 30", "20"),
        ("what's the average of 1, 2 and 6?", "3"),
        ("mean of 4 and 6", "5"),
        ("the sum of 3, 4 and 5", "12"),
        ("sum of 1,2,3", "6"),
        ("add 1, 2 and 3", "6"),
        ("add 5 and 7", "12"),
        ("product of 3 and 4", "12"),
        ("the difference between 10 and 3", "7"),
        ("largest of 3, 9 and 4", "9"),
        ("subtract 3 from 10", "7"),
        ("multiply 6 by 7", "42"),
        ("divide 10 by 4", "2.5"),
        ("divide one hundred by eight", "12.5"),
        ("split 96.40 between 4", "24.1"),
        ("split 96.40 between 4 people", "24.1"),
        ("$96.40 split 4 ways", "24.1"),
        ("2k + 3k", "5000"),
        ("7!", "5040"),
        ("what is 7!", "5040"),
        ("5! / 3", "40"),
        ("sqrt 16", "4"),
        ("square root of 144", "12"),
        ("cube root of 27", "3"),
        ("√16", "4"),
        ("2(3+4)", "14"),
        ("½ + ½", "1"),
        ("1½ + 2", "3.5"),
        ("2²", "4"),
        ("the square of 9", "81"),
        ("3 squared plus 4 squared", "25"),
        ("€5 + €6", "11"),
        ("5€ + 6€", "11"),
        ("20 dollars plus 5 dollars", "25"),
        ("$20 * 3", "60"),
        ("what is minus 3 plus 5", "2"),
        ("1,000 + 2,500", "3500"),
        ("how much is 12 x 12", "144"),
        ("calculate (1 + 2) * (3 + 4)", "21"),
    ];
    for (text, expected) in cases {
        let found = expressions(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let value = evaluate(&found[0]).unwrap_or_else(|error| panic!("{text}: {}: {error}", found[0]));
        assert_eq!(value.decimal().0, expected, "{text}: {}", found[0]);
    }
    for (text, start) in
        [("sqrt 2", "1.41421"), ("pi", "3.14159"), ("what is pi", "3.14159"), ("2 pi", "6.28318")]
    {
        let found = expressions(text);
        assert!(evaluate(&found[0]).unwrap().decimal().0.starts_with(start), "{text}: {found:?}");
    }
}

/// No part of a clause is calculated on its own.
#[test]
fn unsupported_questions_are_declined_by_name() {
    let cases = [
        ("what is 2+2 in base three", "“in base three”"),
        ("2 + 2 foo", "“foo”"),
        ("frobnicate 3 + 4", "“frobnicate”"),
        ("what is two plus two apples", "“apples”"),
        ("what is 2 + 3 and 4", "“and 4”"),
        ("twenty eleven plus one", "“twenty”"),
        ("what is 5 + 6 minus", "“minus”"),
        ("is 2 + 2 equal to 4", "“equal to 4”"),
        ("3 * 4 5", "“5”"),
        ("two three plus one", "“two”"),
        ("12-30-2025", "as a date"),
        ("2026-11-21", "as a date"),
        ("what is 10/12/2025?", "as a date"),
        ("1,5 + 1,5", "with a point"),
        ("3,14 * 2", "with a point"),
        ("5%-3", "percent or remainder"),
        ("what is 3 + 4!", "factorial"),
        ("$5 + €6", "exchange rates"),
        ("$5 * $6", "currency"),
        ("5 km in kg", "different things"),
    ];
    for (text, expected) in cases {
        let found = sums(text);
        let why = found.clone().err().unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert!(why.contains(expected), "{text}: {why}");
        assert!(!why.ends_with('.'), "{why}");
    }
}

#[test]
fn text_without_a_sum_is_not_a_calculation() {
    for text in [
        "",
        "hello",
        "I have 3 cats",
        "see you on 2026-11-21",
        "what is on 2026-11-21?",
        "pages 10-12",
        "open 24/7",
        "it costs 5%",
        "call -5",
        "call 555-1234",
        "1, 2, 3",
        "the 2nd of May",
        "one of them",
        "a + b",
        "C++",
        "x",
        "(see below)",
        "100% sure",
        "at 10:30",
        "version 1.2.3",
        "I was born in nineteen hundred and four",
        "my double room",
    ] {
        assert_eq!(sums(text), Ok(Vec::new()), "{text}");
    }
}

#[test]
fn a_currency_is_named_with_the_result() {
    for (text, unit) in
        [("€5 + €6", "€"), ("$96.40 split 4 ways", "$"), ("20% off $80", "$"), ("5 * 20 euros", "€")]
    {
        assert_eq!(sums(text).unwrap()[0].unit.as_deref(), Some(unit), "{text}");
    }
}

/// Any message is parsed on a small stack (RUN-6).
#[test]
fn run_6_messages_of_any_depth_are_read_on_a_small_stack() {
    let pieces = [
        "(",
        "-",
        "((1+",
        "1+",
        "half of ",
        "sqrt(",
        "minus ",
        "one hundred and ",
        "1, ",
        "20% off ",
        "2 + 2. ",
        "add 1 to ",
        "sum of ",
        "what time is it in ",
        "if ",
        "3pm ",
        "in 3 hours ",
        "Berlin, ",
        "and ",
        "then times 3. ",
        "UTC+",
        "America/",
        "how many ",
        "find ",
        "x ",
        "!",
        "%",
        "2 million ",
        "days until ",
        "1.",
        ",",
        "1/",
        "\"",
    ];
    for piece in pieces {
        let text = piece.repeat(64 * 1024 / piece.len());
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            understand(&format!("what is {text} 1 + 1?"));
        });
        thread.expect("a thread").join().unwrap_or_else(|_| panic!("{piece}"));
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,80}") {
        understand(&text);
    }

    /// Words of the grammar in any order: a parsed sum is an expression of the calculator, or is refused by
    /// it for an arithmetical reason or an open parenthesis.
    #[test]
    fn parsed_sums_are_expressions(words in prop::collection::vec(prop::sample::select(vec![
        "one", "hundred", "and", "five", "twenty", "-", "thousand", "plus", "minus", "times", "divided by", "percent",
        "of", "half of", "3", "4.5", "(", ")", "squared", "%", "+", "*", "mod", "then", ",", "sum of", "off", "add", "to",
        "average of", "sqrt", "pi", "!", "$5", "the", "what is", "2k",
    ]), 1..12)) {
        let text = words.join(" ");
        for expression in sums(&text).into_iter().flatten().map(|sum| sum.expression) {
            if let Err(error) = evaluate(&expression) {
                let error = error.to_string();
                let arithmetic = ["division", "grow beyond", "too much", "root", "exponent", "factorial", "not closed"];
                prop_assert!(arithmetic.iter().any(|reason| error.contains(reason)), "{text}: {expression}: {error}");
            }
        }
    }

    /// The number words of any integer give that integer.
    #[test]
    fn number_words_are_their_number(value in 0u64..1_000_000_000) {
        let found = expressions(&format!("{} plus 0", in_words(value)));
        prop_assert_eq!(found, [format!("{value} + 0")]);
    }
}

fn in_words(value: u64) -> String {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 10] =
        ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let group = |value: u64| {
        let mut words = Vec::new();
        if value >= 100 {
            words.push(format!("{} hundred", SMALL[(value / 100) as usize]));
        }
        let rest = (value % 100) as usize;
        if rest >= 20 {
            let unit =
                if !rest.is_multiple_of(10) { format!("-{}", SMALL[rest % 10]) } else { String::new() };
            words.push(format!("{}{unit}", TENS[rest / 10]));
        } else if rest > 0 || value == 0 {
            words.push(SMALL[rest].to_owned());
        }
        words.join(" and ")
    };
    let mut words = Vec::new();
    for (size, name) in [(1_000_000, " million"), (1000, " thousand"), (1, "")] {
        let part = value / size % 1000;
        if part > 0 || (size == 1 && value == 0) {
            words.push(format!("{}{name}", group(part)));
        }
    }
    words.join(" ")
}
