//! AUTH-5: a service whose builder was not given a way to authenticate clients.

use quintet::{Service, ServiceError};

fn main() -> Result<(), ServiceError> {
    let builder = Service::builder().sqlite("data").bind("0.0.0.0:8080");
    let _ = builder.build()?;
    Ok(())
}
