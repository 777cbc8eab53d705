//! Why a tool gave up, told from what it printed: tools have one exit code for all.

use crate::code;

/// Words of a tool, in lower case, and the code of what they mean. What says more comes first.
pub(crate) type Words = [(&'static str, &'static str)];

/// The code of the first words that are found; [`code::START_FAILED`] where there are none.
pub(crate) fn code_of(printed: &str, words: &Words) -> &'static str {
    let printed = printed.to_lowercase();
    let found = words.iter().find(|(words, _)| printed.contains(words));
    found.map_or(code::START_FAILED, |(_, code)| code)
}
