//! Any bytes are packets or an error, and reading gets ahead with each packet.
#![no_main]

use git_serve::pkt_line::{self, Packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok((packet, after)) = pkt_line::read(rest) {
        let used = &rest[..rest.len() - after.len()];
        assert!(used.len() >= 4);
        let mut written = Vec::new();
        match packet {
            Packet::Data(data) => pkt_line::write(&mut written, data),
            Packet::Flush => pkt_line::write_flush(&mut written),
            Packet::Delimiter => pkt_line::write_delimiter(&mut written),
        }
        assert!(written.eq_ignore_ascii_case(used), "what is read is what would be written");
        rest = after;
    }
});
