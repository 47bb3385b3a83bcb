//! Tests of values and errors.

use proptest::prelude::*;

use super::*;

fn value(expression: &str) -> (String, bool) {
    evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}")).decimal()
}

fn error(expression: &str) -> String {
    evaluate(expression).unwrap_err().to_string()
}

#[test]
fn arithmetic_is_exact() {
    let cases = [
        ("12*(3+4)", "84"),
        ("1 + 2 * 3 - 4 / 8", "6.5"),
        ("0.1 + 0.2", "0.3"),
        ("1/3 + 2/3", "1"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^3^2", "512"),
        ("2^-1*3", "1.5"),
        ("2^-3^2", "0.001953125"),
        ("2 * -3 + 1", "-5"),
        ("--5 - +2", "3"),
        ("7 % 3", "1"),
        ("(-7) % 3", "2"),
        ("7 % (-3)", "-2"),
        ("7.5 % 2", "1.5"),
        ("15% of 80", "12"),
        ("200 + 10%", "220"),
        ("200 + 15%", "230"),
        ("200 - 15%", "170"),
        ("100 - 20% - 10%", "72"),
        ("100 * 2 + 10%", "220"),
        ("200 + (15%)", "200.15"),
        ("200 + 15% of 80", "212"),
        ("10% + 5%", "0.15"),
        ("15% - 3", "-2.85"),
        ("15%", "0.15"),
        ("5 mod -3", "-1"),
        ("-5 mod 3", "1"),
        ("5 % -3", "-1"),
        ("17 mod 5 + 1", "3"),
        ("2(3+4)", "14"),
        ("(1+2)(3+4)", "21"),
        ("6/2(1+2)", "9"),
        ("2 sqrt(9)", "6"),
        ("sqrt 16 + 9", "13"),
        ("√16", "4"),
        ("√(16) * ∛27", "12"),
        ("sqrt sqrt 16", "2"),
        ("sqrt 4^2", "4"),
        ("7!", "5040"),
        ("0! + 3! * 2", "13"),
        ("-3!", "-6"),
        ("(1+2)!", "6"),
        ("2² + 3³ + 2¹⁰", "1055"),
        ("-2²", "-4"),
        ("½ + ½", "1"),
        ("2½ * 2", "5"),
        ("2k + 3k", "5000"),
        ("1.5M / 3K", "500"),
        ("avg(1, 2, 6) + sum(1,2,3) + product(2, 3)", "15"),
        ("50% * 4", "2"),
        ("1_000 + 1,000,000", "1001000"),
        ("6.02e23 / 1E20", "6020"),
        ("1e-3", "0.001"),
        (".5 × 4 ÷ 2 − 1", "0"),
        ("2 ** 10", "1024"),
        ("min(3, 1, 2) + max(1,000)", "2"),
        ("round(2.5) + round(-2.5) + round(3.14159, 2)", "3.14"),
        ("round(1234, -2)", "1200"),
        ("abs(-3) + floor(-1.5) + ceil(1.2)", "3"),
        ("sqrt(16/9) * 3", "4"),
        ("cbrt(-27)", "-3"),
        ("4^(1/2) + 8^(2/3) + 4^(-1/2)", "6.5"),
        ("2^0.5^2", "1.189207115002721066717499970560475915"),
        ("0^0", "1"),
        ("1^99999999999999999999", "1"),
        ("(-1)^99999999999999999999", "-1"),
        ("0^99999999999999999999", "0"),
        ("((((1))))", "1"),
    ];
    for (expression, expected) in cases {
        let (found, exact) = value(expression);
        if exact {
            assert_eq!(found, expected, "{expression}");
        } else {
            assert!(expected.starts_with(&found[..20]), "{expression}: {found}");
        }
    }
}

#[test]
fn rounded_results_are_marked_inexact() {
    assert_eq!(value("1/3"), ("0.333333333333333333333333333333".into(), false));
    assert_eq!(value("-2/3"), ("-0.666666666666666666666666666667".into(), false));
    assert_eq!(value("200/3"), ("66.6666666666666666666666666667".into(), false));
    assert_eq!(value("sqrt(2)"), ("1.41421356237309504880168872421".into(), false));
    assert_eq!(value("sqrt(2)^2"), ("2".into(), false));
    assert_eq!(
        value("sqrt(1e-100*2)"),
        (format!("0.{}141421356237309504880168872421", "0".repeat(49)), false)
    );
    assert_eq!(value("2*pi"), ("6.28318530717958647692528676656".into(), false));
    assert_eq!(value("pi²"), value("pi^2"), "a superscript is not a part of the name");
    assert_eq!(value("2k²"), value("(2k)^2"), "nor of a suffix");
    assert_eq!(evaluate("1/3").unwrap().fraction().unwrap(), "1/3");
    assert_eq!(evaluate("1/2 + sqrt(2)").unwrap().fraction(), None);
}

#[test]
fn errors_have_their_cause_and_position() {
    let cases = [
        ("", "the expression is empty"),
        ("  ", "the expression is empty"),
        ("1/0", "division by zero"),
        ("5 % (2-2)", "division by zero"),
        ("0^-1", "division by zero"),
        ("1 +", "a number is missing at the end"),
        ("(", "a number is missing at the end"),
        ("* 2", r#"a number is missing before "*" at character 1"#),
        ("2 * / 3", r#"a number is missing before "/" at character 5"#),
        ("()", r#"a number is missing before ")" at character 2"#),
        ("(1 + 2", "the parenthesis at character 1 is not closed"),
        ("1 + 2)", "the parenthesis at character 6 was not opened"),
        ("2 3", r#"an operator is missing before "3" at character 3"#),
        ("(2)3", r#"an operator is missing before "3" at character 4"#),
        ("1,5 + 1,5", "the comma at character 2 does not separate thousands; write decimals with a point"),
        ("1234,567", "the comma at character 5 does not separate thousands; write decimals with a point"),
        ("5%-3", "the % at character 2 can be percent or remainder; write percent, or mod"),
        ("5 % - 3", "the % at character 3 can be percent or remainder; write percent, or mod"),
        ("50% 4", "the % at character 3 can be percent or remainder; write percent, or mod"),
        ("1.5!", "a factorial is of a whole number from 0 on"),
        ("(-1)!", "a factorial is of a whole number from 0 on"),
        ("99999999999!", "the numbers grow beyond 4915 digits"),
        ("10000!", "the numbers grow beyond 4915 digits"),
        ("!", r#"a number is missing before "!" at character 1"#),
        ("sine(1)", r#""sine" at character 1 means nothing here"#),
        ("1 + é", r#""é" at character 5 means nothing here"#),
        ("1 $ 2", r#""$" at character 3 means nothing here"#),
        ("sqrt", "a number is missing at the end"),
        ("(1, 2)", r#""," at character 3 means nothing here"#),
        ("min(1, )", r#"a number is missing before ")" at character 8"#),
        ("sqrt(1, 2)", "this function takes one number"),
        ("sqrt(-1)", "an even root of a negative number is not a real number"),
        ("2^(1/17)", "an exponent has to be a whole number, or a fraction with a denominator of at most 16"),
        ("2^99999999", "the numbers grow beyond 4915 digits"),
        ("9^9^9^9", "the numbers grow beyond 4915 digits"),
        ("1e999999999999999999999", "the numbers grow beyond 4915 digits"),
    ];
    for (expression, expected) in cases {
        assert_eq!(error(expression), expected, "{expression}");
    }
    assert_eq!(error(&"9".repeat(6000)), "the numbers grow beyond 4915 digits");
    assert!(error(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).contains("longer than"));
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(value(&deep).0, "1");
    assert_eq!(value(&format!("{}1", "-".repeat(200_000))).0, "1");
    assert_eq!(value(&format!("{}2", "1^".repeat(100_000))).0, "1");
    assert!(error(&"(".repeat(200_000)).contains("missing"));
}

#[test]
fn work_is_bounded() {
    let fractions: Vec<_> = (1..20_000).map(|n| format!("1/{n}")).collect();
    let refused = error(&fractions.join("+"));
    assert!(refused.contains("grow beyond") || refused.contains("too much work"), "{refused}");
    let long = "7".repeat(2000);
    let refused = error(&vec![format!("({long}/3%{long})"); 60].join("+"));
    assert!(refused.contains("grow beyond") || refused.contains("too much work"), "{refused}");
}

fn nested() -> impl Strategy<Value = (String, i128)> {
    let leaf = (0i64..100).prop_map(|n| (n.to_string(), i128::from(n)));
    leaf.prop_recursive(6, 40, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["+", "-", "*"]), inner, any::<bool>()).prop_map(
            |((a, x), operator, (b, y), spaced)| {
                let value = match operator {
                    "+" => x.saturating_add(y),
                    "-" => x.saturating_sub(y),
                    _ => x.saturating_mul(y),
                };
                let space = if spaced { " " } else { "" };
                (format!("({a}{space}{operator}{space}{b})"), value)
            },
        )
    })
}

proptest! {
    #[test]
    fn whole_numbers_agree_with_the_machine((expression, expected) in nested()) {
        prop_assume!(expected.unsigned_abs() < 1 << 100);
        prop_assert_eq!(value(&expression), (expected.to_string(), true));
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "[-0-9.,()+*/%^ esqrtminax√π]{0,60}") {
        let _ = evaluate(&text).map(|number| number.decimal());
    }

    #[test]
    fn a_decimal_reads_back_as_the_same_number(whole in any::<i64>(), places in 0u32..30) {
        let expression = format!("({whole})/10^{places}");
        let (text, exact) = value(&expression);
        prop_assert!(exact);
        prop_assert_eq!(evaluate(&text).unwrap(), evaluate(&expression).unwrap());
    }
}
