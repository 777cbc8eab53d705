//! gantry-device
fn main() {}
