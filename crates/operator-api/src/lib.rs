//! operator-api
