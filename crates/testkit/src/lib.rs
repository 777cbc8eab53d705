//! What tests of several programs share: a fleet manager of one's own, a client that speaks for a
//! device, and an operator. All of them are the real programs and the real protocols; nothing here
//! looks into a store. A helper that cannot do its part panics and says what it was doing.

pub mod archive;
pub mod certificates;
pub mod client;
pub mod device;
pub mod disk;
pub mod fleet;
pub mod http;
pub mod keys;
pub mod kubernetes;
pub mod meddler;
pub mod memory;
pub mod meter;
pub mod openpgp;
pub mod operator;
pub mod port;
pub mod postgres;
pub mod programs;
pub mod registry;
pub mod relay;
pub mod wait;
pub mod wire;
