//! gantry-server
fn main() {}
