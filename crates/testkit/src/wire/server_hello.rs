//! The one message of a TLS 1.3 handshake from the server that is in the clear (RFC 8446 section 4.1.3),
//! and the one thing of interest in it.

/// No ServerHello of TLS 1.3 is longer, in bytes: what it holds is of a fixed length.
pub(super) const ENOUGH: usize = 512;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const SERVER_HELLO: u8 = 2;
const VERSION_AND_RANDOM: usize = 2 + 32;
const CIPHER_SUITE_AND_COMPRESSION: usize = 2 + 1;
const PRE_SHARED_KEY: [u8; 2] = [0, 41];

/// Whether the server takes up the session that the client has offered (RFC 8446 section 4.2.11).
pub(super) fn resumes(bytes: &[u8]) -> bool {
    extensions(bytes).is_some_and(|mut rest| {
        while let Some((kind, more)) = rest.split_first_chunk::<2>() {
            if *kind == PRE_SHARED_KEY {
                return true;
            }
            let Some(more) = after_counted(more) else { return false };
            rest = more;
        }
        false
    })
}

fn extensions(bytes: &[u8]) -> Option<&[u8]> {
    let message = bytes.get(RECORD_HEADER..)?;
    if message.first() != Some(&SERVER_HELLO) {
        return None;
    }
    let (session_id, rest) = message.get(MESSAGE_HEADER + VERSION_AND_RANDOM..)?.split_first()?;
    let rest = rest.get(usize::from(*session_id) + CIPHER_SUITE_AND_COMPRESSION..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// What follows on a field that begins with its length.
fn after_counted(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length))..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut bytes = vec![22, 3, 3, 0, 90, SERVER_HELLO, 0, 0, 86, 3, 3];
        bytes.extend([7; 32]);
        bytes.push(32);
        bytes.extend([8; 32]);
        bytes.extend([0x13, 1, 0, 0]);
        bytes.push(u8::try_from(extensions.len()).expect("few"));
        bytes.extend(extensions);
        bytes.extend([20, 3, 3, 0, 1, 1]);
        bytes
    }

    #[test]
    fn a_session_is_taken_up_only_where_the_server_names_the_key_that_both_know() {
        let version = [0, 43, 0, 2, 3, 4];
        let key = [0, 41, 0, 2, 0, 0];
        assert!(resumes(&hello(&[version, key].concat())));
        assert!(!resumes(&hello(&version)));
        assert!(!resumes(&hello(&[])));
    }

    #[test]
    fn what_is_cut_off_or_something_else_takes_up_nothing() {
        let whole = hello(&[0, 41, 0, 2, 0, 0]);
        for length in 0..40 {
            assert!(!resumes(&whole[..length]));
        }
        assert!(!resumes(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    }
}
