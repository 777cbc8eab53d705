//! Whole numbers as JSON writes them: 7.0 is 7, and some languages know no other numbers (RFC 8259, section 6).

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// A whole number, however it is written.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    read(&Number::deserialize(deserializer)?)
}

/// As [`whole`]; null is none.
pub(crate) fn optional_whole<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    Option::<Number>::deserialize(deserializer)?.as_ref().map(read).transpose()
}

fn read<E: Error>(number: &Number) -> Result<u64, E> {
    let whole = |it: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the number is whole and inside the range that a double holds exactly"
        )]
        (it.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&it)).then_some(it as u64)
    };
    let found = number.as_u64().or_else(|| number.as_f64().and_then(whole));
    found.ok_or_else(|| E::custom(format!("{number} is not a whole number from 0")))
}

#[cfg(test)]
mod tests {
    use crate::{OrderRollback, UpdateDeployment};

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let read = |revision: &str| {
            let text = format!(r#"{{"revision": {revision}, "reason": "r"}}"#);
            serde_json::from_str::<OrderRollback>(&text).map(|it| it.revision).ok()
        };
        assert_eq!([read("7"), read("7.0"), read("7e0")], [Some(7); 3]);
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for bad in ["7.5", "-7", "\"7\"", "null", "1e300"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_number_that_may_be_left_out_may_be_null() {
        let read = |text: &str| serde_json::from_str::<UpdateDeployment>(text).ok();
        let number = |text: &str| read(text).map(|it| it.ordered_event);
        assert_eq!(number("{}"), Some(None));
        assert_eq!(number(r#"{"orderedEvent": null}"#), Some(None));
        assert_eq!(number(r#"{"orderedEvent": 7.0}"#), Some(Some(7)));
        assert_eq!(number(r#"{"orderedEvent": "7"}"#), None);
    }
}
