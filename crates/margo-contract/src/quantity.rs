//! Quantities of memory and storage: a whole number and a binary unit (contract §5.3, §13).

/// The bytes that a quantity such as `8Gi` stands for. A blank before the unit is passed over
///, margo(X-13); anything else is no quantity.
// margo(OP-2, DC-3)
pub fn parse(text: &str) -> Option<u128> {
    const UNITS: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (power, unit) = UNITS.iter().enumerate().find(|(_, unit)| text.ends_with(**unit))?;
    let number = text.strip_suffix(unit)?.trim_end_matches(' ');
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let factor = 1_u128 << (10 * (power + 1));
    number.parse::<u128>().ok()?.checked_mul(factor)
}

/// Bytes as a quantity, rounded down to whole mebibytes.
pub fn in_mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    // margo(OP-2, DC-3, X-13)
    #[test]
    fn a_quantity_is_a_number_and_a_binary_unit() {
        assert_eq!(parse("1Ki"), Some(1024));
        assert_eq!(parse("59 Gi"), Some(59 << 30));
        assert_eq!(parse("2Ei"), Some(2 << 60));
        for bad in
            ["", "Gi", "1", "1G", "1.5Gi", "-1Gi", "8 parsecs", "1gi", "9999999999999999999999Ki"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(in_mebibytes(8 << 30), "8192Mi");
    }
}
