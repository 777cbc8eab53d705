//! margo-contract
