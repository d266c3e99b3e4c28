//! Tables.

use crate::markup::Escaped;
use std::fmt::Write as _;

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Texts: at the left.
    #[default]
    Left,
    /// Numbers: at the right.
    Right,
}

/// A table: columns with names, rows of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub(crate) caption: String,
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    left_out: usize,
}

impl Table {
    /// Rows that are kept; nobody reads more, and a browser would be slow.
    pub const MAX_ROWS: usize = 1_000;
    /// Columns that are kept.
    pub const MAX_COLUMNS: usize = 40;

    /// A table without columns; the caption says what the rows are.
    #[must_use]
    pub fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), ..Self::default() }
    }

    /// Adds a column of texts.
    #[must_use]
    pub fn text(self, name: impl Into<String>) -> Self {
        self.column(name, Align::Left)
    }

    /// Adds a column of numbers.
    #[must_use]
    pub fn number(self, name: impl Into<String>) -> Self {
        self.column(name, Align::Right)
    }

    fn column(mut self, name: impl Into<String>, align: Align) -> Self {
        if self.columns.len() < Self::MAX_COLUMNS {
            self.columns.push((name.into(), align));
        }
        self
    }

    /// Adds a row. Cells beyond the columns are left out, missing ones stay empty.
    #[must_use]
    pub fn row<T: Into<String>>(mut self, cells: impl IntoIterator<Item = T>) -> Self {
        self.push(cells);
        self
    }

    /// Adds a row, see [`Table::row`].
    pub fn push<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        if self.rows.len() == Self::MAX_ROWS {
            self.left_out += 1;
            return;
        }
        self.rows.push(cells.into_iter().take(self.columns.len()).map(Into::into).collect());
    }

    /// Rows that are shown.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    pub(crate) fn write(&self, out: &mut String) {
        // Writing to a string does not fail, here and in all this crate.
        let _ = write!(out, "<div class=\"scroll\" tabindex=\"0\"><table>");
        if !self.caption.is_empty() {
            let _ = write!(out, "<caption>{}</caption>", Escaped(&self.caption));
        }
        let class = |align: Align| if align == Align::Right { " class=\"num\"" } else { "" };
        let _ = write!(out, "<thead><tr>");
        for (name, align) in &self.columns {
            let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(*align), Escaped(name));
        }
        let _ = write!(out, "</tr></thead>\n<tbody>");
        for row in &self.rows {
            let _ = write!(out, "<tr>");
            for (at, (_, align)) in self.columns.iter().enumerate() {
                let text = Escaped(row.get(at).map_or("", String::as_str));
                // The first text of a row is what the row is about.
                let _ = match (at, *align) {
                    (0, Align::Left) => write!(out, "<th scope=\"row\">{text}</th>"),
                    (_, align) => write!(out, "<td{}>{text}</td>", class(align)),
                };
            }
            let _ = writeln!(out, "</tr>");
        }
        let _ = writeln!(out, "</tbody></table></div>");
        if self.left_out > 0 {
            let _ = writeln!(out, "<p class=\"note\">{} further rows are left out.</p>", self.left_out);
        }
    }
}
