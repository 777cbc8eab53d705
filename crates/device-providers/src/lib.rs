//! device-providers
