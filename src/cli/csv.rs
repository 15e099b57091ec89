//! Rows for a spreadsheet (RFC 4180).

use crate::ui::paint::plain_line;

/// A row with its end. What would be taken for a formula, or would end its cell, is quoted.
pub(in crate::cli) fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    cells.into_iter().map(cell).collect::<Vec<_>>().join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let text = plain_line(text);
    // a cell that begins so would be taken for a formula
    let text = if text.starts_with(['=', '+', '@']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_a_formula_nor_the_end_of_its_row() {
        assert_eq!(row(["=1+1", "a,b", "он \"сам\"", "x\ny", ""]), "'=1+1,\"a,b\",\"он \"\"сам\"\"\",x\\ny,\r\n");
    }
}
