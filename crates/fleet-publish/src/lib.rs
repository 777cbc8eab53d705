//! fleet-publish
