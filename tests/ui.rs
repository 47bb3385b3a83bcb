//! What agents cannot do does not compile: one case per illegal step (RUN-3, RUN-4, RUN-5, RUN-9).

#[test]
fn illegal_steps_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/legal.rs");
    cases.compile_fail("tests/ui/illegal_*.rs");
}
