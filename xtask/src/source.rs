//! Just enough of Rust's grammar to look for words in sources.

/// The text with spaces for comments and for what is in quotes.
pub fn code(text: &str) -> String {
    enum State {
        Code,
        Line,
        Block(usize),
        /// With the number of hashes of a raw string, if it is one.
        Text(Option<usize>),
    }
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\n');
    let mut out = String::with_capacity(text.len());
    let mut state = State::Code;
    let mut i = 0;
    while i < chars.len() {
        let (c, next) = (at(i), at(i + 1));
        let mut length = 1;
        let mut keep = c == '\n';
        match state {
            State::Code => match (c, next) {
                ('/', '/') => state = State::Line,
                ('/', '*') => {
                    state = State::Block(1);
                    length = 2;
                }
                ('"', _) => state = State::Text(None),
                ('r', '#' | '"') if i == 0 || !at(i - 1).is_alphanumeric() => {
                    let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                    if at(i + 1 + hashes) == '"' {
                        state = State::Text(Some(hashes));
                        length = hashes + 2;
                    } else {
                        keep = true;
                    }
                }
                // A character, not a lifetime.
                ('\'', '\\') => {
                    length = 2 + chars[i + 3..].iter().take_while(|c| **c != '\'').count() + 2
                }
                ('\'', _) if at(i + 2) == '\'' => length = 3,
                _ => keep = true,
            },
            State::Line if c == '\n' => state = State::Code,
            State::Line => {}
            State::Block(depth) => match (c, next) {
                ('*', '/') => {
                    length = 2;
                    state = if depth == 1 {
                        State::Code
                    } else {
                        State::Block(depth - 1)
                    };
                }
                ('/', '*') => {
                    length = 2;
                    state = State::Block(depth + 1);
                }
                _ => {}
            },
            State::Text(None) => match c {
                '\\' if next != '\n' => length = 2,
                '"' => state = State::Code,
                _ => {}
            },
            State::Text(Some(hashes)) => {
                if c == '"' && (1..=hashes).all(|hash| at(i + hash) == '#') {
                    length = 1 + hashes;
                    state = State::Code;
                }
            }
        }
        for _ in 0..length {
            out.push(if keep { c } else { ' ' });
        }
        i += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn comments_and_strings_become_spaces() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(
            code("a /* b /* c */ d */ e")
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["a", "e"]
        );
        assert_eq!(
            code(r#"a "b \" c" d"#)
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["a", "d"]
        );
        assert_eq!(
            code("a r#\"b \" c\"# d")
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["a", "d"]
        );
    }

    #[test]
    fn a_quote_may_be_a_character_or_a_lifetime() {
        assert_eq!(
            code("'\"' a '\\'' b")
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(code("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
    }
}
