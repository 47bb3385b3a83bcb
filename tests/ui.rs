<<<<<<< HEAD
//! Illegal steps of an agent do not compile: one case for each (RUN-3, RUN-4, RUN-5, RUN-9), and for each way
//! around the factory (ISO-4).
=======
//! What must not be done does not compile: one case per illegal step of an agent (RUN-3, RUN-4, RUN-5,
//! RUN-9), per way around the factory (ISO-4), and per service without checked settings (AUTH-5).
>>>>>>> api

#[test]
fn illegal_steps_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/legal.rs");
    cases.compile_fail("tests/ui/illegal_*.rs");
}
