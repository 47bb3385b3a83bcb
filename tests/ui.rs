//! Illegal code does not compile: one case for each illegal step of an agent (RUN-3, RUN-4, RUN-5, RUN-9), for each
//! way around the factory (ISO-4), and for each service without checked settings (AUTH-5).

#[test]
fn illegal_steps_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/legal.rs");
    cases.compile_fail("tests/ui/illegal_*.rs");
}
