//! The kernel's oracle and the account over it, as the kernel's own tests have them.

#[path = "../../tests/kernel/account.rs"]
pub mod account;
#[path = "../../tests/kernel/make.rs"]
pub mod make;
#[path = "../../tests/kernel/oracle.rs"]
pub mod oracle;
