//! Pages for people: the same blocks as Markdown and as HTML.

use std::fmt::Write as _;

/// A part of a page.
pub enum Block {
    /// A heading, with its level.
    Heading(usize, String),
    /// A paragraph.
    Text(String),
    /// A table.
    Table {
        /// The titles of the columns.
        head: Vec<String>,
        /// The rows.
        rows: Vec<Vec<Cell>>,
    },
    /// What a program printed.
    Output(String),
    /// What is shown when one asks for it.
    Fold {
        /// What one sees of it before that.
        title: String,
        /// What is in it.
        blocks: Vec<Block>,
    },
}

/// A field of a table.
pub struct Cell {
    text: String,
    mark: Mark,
}

/// What a field should look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Like any other.
    None,
    /// Good.
    Good,
    /// Not good, but known.
    Known,
    /// What the reader should look at.
    Bad,
}

impl Cell {
    /// A field that should not look like any other.
    pub fn marked(text: impl Into<String>, mark: Mark) -> Self {
        Self {
            text: text.into(),
            mark,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::marked(text, Mark::None)
    }
}

/// As Markdown, with the tables and folds of GitHub's.
pub fn markdown(blocks: &[Block]) -> String {
    let mut text = String::new();
    // Writing to a `String` does not fail.
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            Block::Heading(level, title) => {
                let _ = writeln!(text, "{} {}", "#".repeat(*level), mark_escape(title));
            }
            Block::Text(line) => {
                let _ = writeln!(text, "{}", mark_escape(line));
            }
            Block::Table { head, rows } => {
                let head = head.iter().map(|title| mark_escape(title));
                let head: Vec<_> = head.collect();
                let _ = writeln!(text, "| {} |", head.join(" | "));
                let _ = writeln!(text, "|{}", "---|".repeat(head.len()));
                for row in rows {
                    let cells = row.iter().map(|cell| match cell.mark {
                        Mark::Bad => format!("**{}**", mark_escape(&cell.text)),
                        _ => mark_escape(&cell.text),
                    });
                    let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
                }
            }
            Block::Output(lines) => {
                // A fence is longer than any in the text.
                let mut fence = "```".to_owned();
                while lines.contains(&fence) {
                    fence.push('`');
                }
                let _ = writeln!(text, "{fence}text\n{}\n{fence}", super::plain(lines));
            }
            Block::Fold { title, blocks } => {
                let title = xml_escape(title);
                let _ = writeln!(text, "<details><summary>{title}</summary>\n");
                text += &markdown(blocks);
                text += "\n</details>\n";
            }
        }
    }
    text
}

/// On one line, with nothing that Markdown would take for markup.
fn mark_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in super::plain(text).chars() {
        match char {
            '\n' => escaped.push(' '),
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(char);
            }
            char => escaped.push(char),
        }
    }
    escaped
}

const STYLE: &str = "
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; margin: 0.5em 0; }
th, td { border: 1px solid #bbb; padding: 0.15em 0.6em; text-align: left; vertical-align: top; }
pre { background: #f3f3f3; padding: 0.6em; overflow-x: auto; }
.good { background: #dfd; } .known { background: #ffd; } .bad { background: #fcc; font-weight: bold; }
";

/// As HTML; it is XML as well.
pub fn html(title: &str, blocks: &[Block]) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"/><title>{}</title>\
         <style>{STYLE}</style></head>\n<body>\n{}</body>\n</html>\n",
        xml_escape(title),
        html_blocks(blocks)
    )
}

fn html_blocks(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        let _ = match block {
            Block::Heading(level, title) => {
                writeln!(text, "<h{level}>{}</h{level}>", xml_escape(title))
            }
            Block::Text(line) => writeln!(text, "<p>{}</p>", xml_escape(line)),
            Block::Table { head, rows } => {
                text += "<table>\n<tr>";
                for title in head {
                    let _ = write!(text, "<th>{}</th>", xml_escape(title));
                }
                text += "</tr>\n";
                for row in rows {
                    text += "<tr>";
                    for cell in row {
                        let class = match cell.mark {
                            Mark::None => "",
                            Mark::Good => " class=\"good\"",
                            Mark::Known => " class=\"known\"",
                            Mark::Bad => " class=\"bad\"",
                        };
                        let _ = write!(text, "<td{class}>{}</td>", xml_escape(&cell.text));
                    }
                    text += "</tr>\n";
                }
                writeln!(text, "</table>")
            }
            Block::Output(lines) => writeln!(text, "<pre>{}</pre>", xml_escape(lines)),
            Block::Fold { title, blocks } => writeln!(
                text,
                "<details><summary>{}</summary>\n{}</details>",
                xml_escape(title),
                html_blocks(blocks)
            ),
        };
    }
    text
}

fn xml_escape(text: &str) -> String {
    super::plain(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
