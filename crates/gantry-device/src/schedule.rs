//! When to talk: "may I now, and if not, when next and why". Pure functions of the time and of what the
//! owner has configured; the clock, and what happened, are for the caller to bring.

pub(crate) mod forecast;
mod hours;
mod pace;
mod span;
mod window;

pub(crate) use forecast::{Because, Expected};
pub(crate) use hours::{Closed, Downtime, Hours, Opening, Purpose, When};
pub(crate) use pace::{Pace, Rate};
pub(crate) use span::{Edge, Span, instant};
pub(crate) use window::Window;

#[cfg(test)]
mod tests;
