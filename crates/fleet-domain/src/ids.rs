//! The names of things. Text becomes one of these types at the edge, once, and is trusted after that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the name of what it should name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind}: {rule}")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

impl InvalidId {
    fn new(text: &str, kind: &'static str, rule: &'static str) -> Self {
        // An error must not carry a megabyte of what somebody sent.
        Self { text: text.chars().take(80).collect(), kind, rule }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Only the hyphenated form, so that one id has one spelling in paths and tokens.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(InvalidId::new(text, $kind, "it has to be a UUID")),
                }
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId::new(text, $kind, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

uuid_id!(
    /// The identity that talks for a device, given by the fleet manager at onboarding.
    ClientId,
    "a client id"
);
uuid_id!(
    /// One application on one device, from order to removal.
    DeploymentId,
    "a deployment id"
);

text_id!(
    /// What a client calls a device; children stand below their gateway, margo(DC-2, GW-1).
    DeviceId,
    "a device id",
    "it has to be segments of letters, digits, `.`, `_`, `~` and `-`, with `/` between them, 255 characters at most",
    |text| text.len() <= 255
        && text.split('/').all(|segment| !segment.is_empty()
            && segment.bytes().all(|it| it.is_ascii_alphanumeric() || b"._~-".contains(&it)))
);
text_id!(
    /// The `id` of an application description, margo(DE-1, X-22).
    ApplicationId,
    "an application id",
    "it has to be 1 to 200 lower-case letters, digits and dashes",
    |text| (1..=200).contains(&text.len()) && text.bytes().all(lower_digit_dash)
);
text_id!(
    /// The version of an application description: free text that fits into a URL and a tag.
    ApplicationVersion,
    "an application version",
    "it has to be 1 to 128 letters, digits, `.`, `_`, `+` and `-`",
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._+-".contains(&it))
);
text_id!(
    /// A component of an application, margo(P-1).
    ComponentName,
    "a component name",
    "it has to be 1 to 200 lower-case letters, digits and dashes",
    |text| (1..=200).contains(&text.len()) && text.bytes().all(lower_digit_dash)
);
text_id!(
    /// The name of a deployment among those of its client: a Kubernetes object name, margo(DD-1).
    DeploymentName,
    "a deployment name",
    "it has to be 1 to 63 lower-case letters, digits and dashes, a letter or digit at both ends",
    |text| (1..=63).contains(&text.len())
        && text.bytes().all(lower_digit_dash)
        && !text.starts_with('-')
        && !text.ends_with('-')
);
text_id!(
    /// Who operates the fleet.
    OperatorName,
    "an operator name",
    "it has to be 1 to 64 letters, digits, `.`, `_`, `@` and `-`",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._@-".contains(&it))
);
text_id!(
    /// A Git object id (SHA-1) in lower-case hex.
    ObjectId,
    "a Git object id",
    "it has to be 40 lower-case hex digits",
    |text| text.len() == 40 && text.bytes().all(lower_hex)
);

impl DeviceId {
    /// The gateway that the device stands behind: the first segment, whatever is between. None
    /// for a device that stands behind none.
    // margo(C-7, GW-6)
    pub fn gateway(&self) -> Option<Self> {
        self.0.split_once('/').map(|(gateway, _)| Self(gateway.to_owned()))
    }
}

fn lower_digit_dash(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// The number of a revision: the `manifestVersion` of one client, margo(D-2). Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct RevisionNumber(
    // Invariant: 1 to i64::MAX, so that every database and JSON reader can hold it, margo(D-7).
    u64,
);

impl RevisionNumber {
    /// A number from 1 to 2^63-1, or nothing.
    pub fn new(number: u64) -> Option<Self> {
        (number >= 1 && i64::try_from(number).is_ok()).then_some(Self(number))
    }

    pub fn first() -> Self {
        Self(1)
    }

    /// The number after this one, or nothing at the end of all numbers.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for RevisionNumber {
    type Error = InvalidId;

    fn try_from(number: u64) -> Result<Self, InvalidId> {
        let rule = "it has to be 1 to 2^63-1";
        Self::new(number)
            .ok_or_else(|| InvalidId::new(&number.to_string(), "a revision number", rule))
    }
}

impl From<RevisionNumber> for u64 {
    fn from(number: RevisionNumber) -> u64 {
        number.0
    }
}

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256: of a certificate or of content. Written `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Sha256 {
    type Err = InvalidId;

    // margo(H-1)
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || {
            InvalidId::new(text, "a digest", "it has to be `sha256:` and 64 lower-case hex digits")
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        if hex.len() != 64 || !hex.bytes().all(lower_hex) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(DC-2, GW-1)
    #[test]
    fn a_device_id_is_segments_with_slashes_between_them() {
        for good in ["press-7", "gw-quay/box_02", "a/b/c", "x.y~z"] {
            assert_eq!(good.parse::<DeviceId>().expect("a device id").as_str(), good);
        }
        for bad in ["", "/", "a//b", "a/", "press 7", "gw/*", "ü"] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }

    // margo(C-7, GW-6)
    #[test]
    fn a_child_names_its_gateway_first() {
        let gateway = |id: &str| id.parse::<DeviceId>().expect("a device id").gateway();
        assert_eq!(gateway("press-7"), None);
        assert_eq!(gateway("gw-quay/box-02"), "gw-quay".parse().ok());
        assert_eq!(gateway("a/b/c"), "a".parse().ok());
    }

    // margo(X-22)
    #[test]
    fn an_application_id_is_lower_case_and_bounded() {
        assert!("com-gantry-hello".parse::<ApplicationId>().is_ok());
        assert!("a".repeat(201).parse::<ApplicationId>().is_err());
        for bad in ["", "Com", "a.b", "a_b"] {
            assert!(bad.parse::<ApplicationId>().is_err(), "{bad}");
        }
    }

    // margo(H-1)
    #[test]
    fn a_digest_has_one_spelling() {
        let text = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(text.parse::<Sha256>().expect("a digest").to_string(), text);
        for bad in [
            text.to_uppercase(),
            text[7..].to_owned(),
            format!("{text}0"),
            text.replace("sha256", "sha512"),
        ] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let text = "a3e2f5dc-912e-494f-8395-52cf3769bc06";
        assert_eq!(text.parse::<ClientId>().expect("a UUID").to_string(), text);
        assert!(text.replace('-', "").parse::<ClientId>().is_err());
    }

    // margo(D-2, D-7)
    #[test]
    fn revisions_start_at_one_and_end_where_databases_do() {
        assert_eq!(RevisionNumber::new(0), None);
        assert_eq!(RevisionNumber::first().next(), RevisionNumber::new(2));
        let last = RevisionNumber::new(i64::MAX as u64).expect("the last number");
        assert_eq!(last.next(), None);
    }

    #[test]
    fn an_error_quotes_no_more_than_a_line() {
        let error = "x y".repeat(1000).parse::<DeviceId>().expect_err("blanks");
        assert!(error.to_string().len() < 300);
    }
}
