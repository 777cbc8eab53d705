//! git-serve
