//! Text for people: aligned columns, and words of strangers made harmless for a terminal.

/// Aligns `rows` below `heads`, two spaces between columns.
pub(crate) fn render<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned))
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| clean(cell))))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Aligns names and values; a pair without a value is left out.
pub(crate) fn fields(pairs: &[(&str, Option<String>)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    pairs
        .iter()
        .filter_map(|(name, value)| Some((format!("{name}:"), value.as_ref()?)))
        .map(|(name, value)| format!("{name:width$} {}\n", clean(value)))
        .collect()
}

/// Makes one harmless line of a text: names and messages come from devices, and a terminal obeys
/// control characters.
pub(crate) fn clean(text: &str) -> String {
    let harmless = text.trim_end_matches(['\n', '\r']).chars().map(|it| match it {
        '\n' | '\r' | '\t' => ' ',
        other if other.is_control() => '\u{fffd}',
        other => other,
    });
    harmless.collect()
}

/// As [`clean`], for texts of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["prüfling".to_owned(), "1".to_owned()], ["b".to_owned(), "22".to_owned()]];
        assert_eq!(render(["NAME", "N"], &rows), "NAME      N\nprüfling  1\nb         22\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(render(["A"], &[["\u{1b}[2Jx\u{9b}".to_owned()]]), "A\n\u{fffd}[2Jx\u{fffd}\n");
    }

    #[test]
    fn a_text_of_several_lines_fits_into_a_cell() {
        assert_eq!(render(["A"], &[["one\r\n\ttwo\n".to_owned()]]), "A\none   two\n");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let pairs = [("Id", Some("7".to_owned())), ("Heard", None), ("Name", Some("x".to_owned()))];
        assert_eq!(fields(&pairs), "Id:    7\nName:  x\n");
    }
}
