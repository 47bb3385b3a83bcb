//! Illegal code does not compile: one case for each way around the factory (ISO-4).

#[test]
fn ways_around_the_factory_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/illegal_*.rs");
}
