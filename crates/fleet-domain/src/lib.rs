//! fleet-domain
